#!/bin/sh
# The store and its master key stay, also after a purge.
set -e
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
if [ "${1:-}" = purge ] && [ -e /var/lib/gatepost ]; then
    echo "gatepost: /var/lib/gatepost with the store and its master key is left: remove it if you need neither" >&2
fi
