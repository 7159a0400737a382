#!/bin/sh
# Makes the secrets of compose.redis.yaml, once: the master key, and the password of Gatepost at Valkey with its ACL file.
# The directory is for its owner only. The files in it can be read by anyone, because containers have other users.
set -eu
umask 022
cd "$(dirname "$0")"
if [ -e secrets ]; then
    echo "deploy/compose/secrets exists: it is left as it is" >&2
    exit 1
fi
mkdir -m 0700 secrets
head -c 32 /dev/urandom | base64 >secrets/master-key
password=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
printf %s "$password" >secrets/valkey-password
hash=$(printf %s "$password" | sha256sum | cut -d ' ' -f 1)
sed "s/>CHANGE-ME/#$hash/" ../redis/gatepost.acl >secrets/valkey.acl
echo "Keep a copy of $PWD/secrets/master-key elsewhere: without it the store cannot be read." >&2
