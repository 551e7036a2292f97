#!/bin/bash
# Writes the demo's participants, servers, configuration and deployments into the registry, as an operator. What is there
# stays, so it may run again.
set -euo pipefail

# there KIND ID ARGUMENTS...: one record.
there() {
    fedctl "$1" get "$2" >/dev/null 2>&1 || fedctl "$1" create "${@:2}"
}

# Their RabbitMQ users and passwords are those that `secrets.sh` made.
participant() {
    there participants "$@" --no-credentials
}

participant north --display-name 'North, with two Varnish'
participant south --display-name 'South, with an nginx and a Squid'
participant west --display-name 'West, with an invocation system of its own' --invocation-system canonical

# The key that each one's adapter signs with. Adding it again changes nothing.
for participant in north south west; do
    fedctl participants keys add "$participant" "$(</run/secrets/signing-$participant)"
done

there servers north-varnish-1 --participant north --dialect varnish --address north-varnish-1:8080 --place eu/se/stockholm
there servers north-varnish-2 --participant north --dialect varnish --address north-varnish-2:8080 --place eu/no/oslo
there servers south-nginx --participant south --dialect nginx --address south-nginx:8080 --place eu/it/rome
there servers south-squid --participant south --dialect squid --address south-squid:8080 --place eu/es/madrid
there servers west-traffic-server --participant west --dialect traffic-server --address west-traffic-server:8080 \
    --place na/us/seattle

there configurations shop --customer acme --owner north --host www.example.com
for participant in north south west; do
    there deployments "shop-$participant" --configuration shop --participant "$participant"
done
