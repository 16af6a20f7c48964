#!/usr/bin/env bash
# The proof tests drive real programs: spin and a C compiler (the model), nginx and haproxy (other readers of HTTP),
# slowhttptest (slow clients), ip and iptables (partitions in network namespaces); those of deploy/ need
# systemd-analyze (the unit), unzip (the release of Helm), curl and unshare (the page's commands); the console needs a browser.
# Where one is missing, this installs it (Debian or Ubuntu, as root) or says what to install. Quiet when all are there.
set -euo pipefail

# Some live in sbin, which is not on everybody's PATH.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

# program:package
needed="spin:spin gcc:gcc nginx:nginx-light haproxy:haproxy slowhttptest:slowhttptest ip:iproute2 iptables:iptables"
needed="$needed systemd-analyze:systemd unzip:unzip curl:curl unshare:util-linux"
needed="$needed chromium:chromium"

missing() {
  local pair
  for pair in $needed; do
    command -v "${pair%%:*}" >/dev/null || echo "${pair##*:}"
  done
  # A compiler without the C library's headers compiles nothing.
  echo '#include <stdio.h>' | gcc -fsyntax-only -x c - 2>/dev/null || echo libc6-dev
}

packages=$(missing | tr '\n' ' ')
[ -z "$packages" ] && exit 0

if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  echo "missing for the tests: ${packages}- installing with apt-get" >&2
  # Some bring services; on a machine with an init system they must not be started for a test.
  # shellcheck disable=SC2086
  install() {
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
  }
  install 2>/dev/null || { apt-get update -qq && install; }
  packages=$(missing | tr '\n' ' ')
  [ -z "$packages" ] && exit 0
fi

cat >&2 <<HOW
Missing for the tests: ${packages}
Install them, then run the tests again:
  Debian, Ubuntu:  sudo apt-get update && sudo apt-get install -y ${packages}
  elsewhere:       the programs spin, gcc, nginx, haproxy, slowhttptest, ip, iptables, systemd-analyze, unzip, curl,
                   unshare and chromium
HOW
exit 1
