#!/usr/bin/env bash
# The tests start real Redis servers. Where redis-server 7.0 or newer is missing, this installs it (Debian or Ubuntu, as
# root) or says how to install it. Quiet when it is there.
set -euo pipefail

need="redis-server 7.0 or newer and redis-cli are needed by the tests"

enough() {
  command -v redis-server >/dev/null && command -v redis-cli >/dev/null || return 1
  local version
  version=$(redis-server --version | sed -n 's/.* v=\([0-9]*\)\..*/\1/p')
  [ "${version:-0}" -ge 7 ]
}

enough && exit 0

if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  echo "$need: installing with apt-get" >&2
  install() { DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends redis-server >/dev/null; }
  install 2>/dev/null || { apt-get update -qq && install; }
  enough && exit 0
fi

cat >&2 <<HOW
$need. Install them, then run the tests again:
  Debian 12, Ubuntu 24.04 and newer:  sudo apt-get update && sudo apt-get install -y redis-server
  Fedora:                             sudo dnf install -y redis
  Alpine:                             sudo apk add redis
  macOS:                              brew install redis
  others:                             https://redis.io/docs/latest/operate/oss_and_stack/install/
HOW
exit 1
