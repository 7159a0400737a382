#!/bin/sh
# Stops all services and sockets before the program is removed, but not before an upgrade. The first argument is `remove`
# for dpkg, and the number of versions that stay for rpm.
set -e
if [ -d /run/systemd/system ] && { [ "${1:-}" = remove ] || [ "${1:-}" = 0 ]; }; then
    systemctl stop 'gatepost*.socket' 'gatepost*.service'
    systemctl disable --quiet gatepost.service gatepost.socket gatepost-control-plane.service gatepost-deliverer.service
fi
