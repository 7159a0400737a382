#!/bin/sh
# Creates the user, and restarts the services that run. A first installation starts none: their API is not known yet.
set -e
if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers gatepost.conf
    systemd-tmpfiles --create gatepost.conf
fi
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl try-restart 'gatepost*.service'
fi
