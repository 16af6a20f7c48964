#!/bin/sh
# Makes sure that promtool is there: it comes with Debian's package `prometheus`, and is installed from it where the
# system allows. Elsewhere it says how. Prints the path on success; exits 1 otherwise.
set -eu

if command -v promtool >/dev/null 2>&1; then
  command -v promtool
  exit 0
fi

if [ -f /etc/debian_version ] && [ "$(id -u)" = 0 ]; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >&2
  # The package brings a service; on a machine with an init system it must not be started for a test tool.
  RUNLEVEL=1 apt-get install -y -qq --no-install-recommends prometheus >&2
  command -v promtool
  exit 0
fi

cat >&2 <<'TEXT'
promtool is missing. Install it and run the tests again:
  Debian, Ubuntu   sudo apt-get install prometheus
  Fedora           sudo dnf install golang-github-prometheus
  macOS            brew install prometheus
  elsewhere        put the promtool of a Prometheus release on the PATH
TEXT
exit 1
