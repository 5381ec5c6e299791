#!/usr/bin/env bash
# Debian packages that some tests gain from; none needs them. darknet: the original engine, to compare numbers with.
# rabbitmq-server: the other broker.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
packages=(darknet curl rabbitmq-server)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
