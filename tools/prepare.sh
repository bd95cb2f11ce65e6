# shellcheck shell=sh
# Sourced by ./draw and ./check: afterwards all tools and libraries are there and in PATH.

tools/install_dependencies.sh

# Homebrew may have been installed just now, or not be in this shell's path yet.
for place in /opt/homebrew /usr/local; do
    if [ -x "$place/bin/brew" ]; then PATH=$place/bin:$PATH; fi
done
export PATH
