#!/usr/bin/env bash
# Debian packages that some tests gain from; none needs them. darknet: the original engine, to compare numbers with.
# rabbitmq-server: the other broker. chromium: the web page in a browser.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
packages=(darknet curl rabbitmq-server chromium)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
apt-get update -qq
lacking=()
for package in "${missing[@]}"; do
  apt-get install -y -qq --no-install-recommends "$package" >/dev/null || lacking+=("$package")
done
[ ${#lacking[@]} -eq 0 ] || { echo "not to be had here: ${lacking[*]}" >&2; exit 1; }
