#!/bin/sh
# Arguments that begin with "-" are those of pingap, as are none at all; others are a command:
#   podman run IMAGE -t                 checks the configuration that PINGAP_CONF names
#   podman run IMAGE pingap plugins     lists the plugins
# "exec" makes pingap process 1, which gets the signals and takes care of orphans.
set -eu

case ${1--} in
-*) set -- pingap "$@" ;;
esac

exec "$@"
