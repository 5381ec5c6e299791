#!/bin/sh
# Run inside a container of the compose project (sh -s): is it as confined as docker-compose.yml says? Says what is not.
# In: the arguments are paths that must not be writable. Out: one line, and exit code 0 when everything holds.
set -u
wrong=
not() { wrong="$wrong $1;"; }
status() { sed -n "s/^$1:[[:space:]]*//p" /proc/1/status; }

[ "$(id -u)" != 0 ] || not "runs as root"
for set in CapInh CapPrm CapEff CapBnd CapAmb; do
  [ "$(status $set)" = 0000000000000000 ] || not "$set is $(status $set)"
done
[ "$(status NoNewPrivs)" = 1 ] || not "may gain privileges"
[ "$(status Seccomp)" = 2 ] || not "no system calls are filtered"
for path in / /etc /usr/bin "$@"; do
  # A subshell: where a redirection fails, some shells end.
  if (: >"$path/.probe") 2>/dev/null; then rm -f "$path/.probe"; not "$path can be written"; fi
done
awk '$2 == "/" { exit $4 !~ /(^|,)ro(,|$)/ }' /proc/mounts || not "the root file system is not read-only"
awk '$2 == "/tmp" { exit !($3 == "tmpfs" && $4 ~ /size=/) }' /proc/mounts || not "/tmp is no tmpfs of bounded size"
[ ! -e /var/run/docker.sock ] || not "the engine's socket is here"
for bound in pids.max memory.max; do
  file=/sys/fs/cgroup/$bound
  [ "$bound" = memory.max ] && old=/sys/fs/cgroup/memory/memory.limit_in_bytes || old=/sys/fs/cgroup/pids/pids.max
  [ -e "$file" ] || file=$old
  case "$(cat "$file" 2>/dev/null)" in
    '' | max | 9223372036854771712) not "no bound in $bound" ;;
  esac
done
if [ -n "$wrong" ]; then echo "not confined:$wrong" >&2; exit 1; fi
echo "confined: uid $(id -u), no capability, no new privileges, read-only, pids and memory bounded"
