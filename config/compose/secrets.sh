#!/bin/bash
# secrets.sh [PARTICIPANT...]: makes the passwords, certificates and signing keys of docker-compose.yml in config/compose/secrets.
#
# What is there stays, what is missing is made: delete a file and run it again to replace it, then restart who uses it.
# Participants are `north`, `south` and `west` unless named. Needs bash and openssl, and no network.
#
#   SECRETS_FOLDER   another folder
#   FEDERATION       the trust domain, as `listen.federation` of the broker says it (federation.example)
#   BROKER_NAMES     names and addresses by which callers reach the brokers
#
# The folder is closed to other users; the files in it are readable, because each is mounted alone into a container whose
# user has another number.
set -euo pipefail
umask 077

# What a broker does at Redis, as `broker redis-acl` prints it.
redis_rules=$(cat "$(dirname "$0")/../redis/broker.acl")
folder=${SECRETS_FOLDER:-$(dirname "$0")/secrets}
federation=${FEDERATION:-federation.example}
read -ra names <<<"${BROKER_NAMES:-broker-1 broker-2 localhost 127.0.0.1}"
participants=("$@")
[[ $# -gt 0 ]] || participants=(north south west)
authority_days=3650
leaf_days=825

say() { printf 'secrets: %s\n' "$*" >&2; }

fail() {
    say "$*"
    exit 1
}

command -v openssl >/dev/null || fail "openssl is missing: apt-get install openssl"
for participant in "${participants[@]}"; do
    # The rule of ids; so an id means nothing in a regular expression or a URL.
    [[ $participant =~ ^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$ && $participant != replies ]] ||
        fail "$participant is no participant's id: 1 to 63 lower-case letters, digits or hyphens, not \`replies\`"
done
mkdir -p "$folder"
cd "$folder"
chmod 700 .
work=$(mktemp -d .work.XXXXXX)
trap 'rm -rf "$work"' EXIT

# write FILE: what comes in, whole or not at all.
write() {
    cat >"$work/written"
    chmod 444 "$work/written"
    mv -f "$work/written" "$1"
}

# password USER: letters and digits, so that it stands in a URL as it is.
password() {
    [[ -s password-$1 ]] || openssl rand -hex 24 | write "password-$1"
    cat "password-$1"
}

key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 2>/dev/null; }

authority() {
    [[ -s federation-authority.pem ]] && return
    say "makes a certificate authority for $federation"
    key | write federation-authority.key
    chmod 400 federation-authority.key
    cat >"$work/authority.conf" <<END
[req]
prompt = no
distinguished_name = name
x509_extensions = extensions
[name]
CN = $federation
[extensions]
basicConstraints = critical, CA:true, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
END
    openssl req -x509 -new -sha256 -days $authority_days -config "$work/authority.conf" \
        -key federation-authority.key | write federation-authority.pem
}

# certificate NAME USAGE ALTERNATIVE_NAMES
certificate() {
    [[ -s $1.pem && -s $1.key ]] && return
    say "makes the certificate of $1: $3"
    key | write "$1.key"
    printf '[req]\nprompt = no\ndistinguished_name = name\n[name]\nCN = %s\n' "$1" >"$work/request.conf"
    cat >"$work/leaf.conf" <<END
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = $2
subjectAltName = $3
authorityKeyIdentifier = keyid
subjectKeyIdentifier = hash
END
    openssl req -new -sha256 -config "$work/request.conf" -key "$1.key" -out "$work/request.pem"
    openssl x509 -req -sha256 -days $leaf_days -in "$work/request.pem" -extfile "$work/leaf.conf" \
        -CA federation-authority.pem -CAkey federation-authority.key \
        -set_serial "0x00$(openssl rand -hex 16)" 2>/dev/null | write "$1.pem"
}

# signing NAME: an Ed25519 key that messages are signed with, and its public half as the registry and adapters want it.
signing() {
    [[ -s signing-$1.pem && -s signing-$1.pub ]] && return
    say "makes the signing key of $1"
    openssl genpkey -algorithm ed25519 2>/dev/null | write "signing-$1.pem"
    # The key is the end of its DER form (RFC 8410).
    openssl pkey -in "signing-$1.pem" -pubout -outform DER 2>/dev/null | tail -c 32 | openssl base64 -A | write "signing-$1.pub"
}

# The broker's names, as openssl wants them: DNS:a,IP:127.0.0.1.
alternative_names() {
    local name kind list=()
    for name in "${names[@]}"; do
        kind=DNS
        [[ $name =~ ^[0-9.]+$ || $name == *:* ]] && kind=IP
        list+=("$kind:$name")
    done
    (IFS=, && echo "${list[*]}")
}

# The deny list of the brokers. It is mounted as a file, so lines are added to it in place.
revoked() {
    [[ -s revoked ]] && return
    echo "# A serial number on each line, as openssl x509 -serial -noout -in FILE prints it behind serial=" | write revoked
    chmod 644 revoked
}

certificates() {
    authority
    revoked
    certificate broker serverAuth "$(alternative_names)"
    certificate redis serverAuth DNS:redis,DNS:localhost
    certificate rabbitmq serverAuth DNS:rabbitmq,DNS:localhost
    certificate operator clientAuth "URI:spiffe://$federation/operator/operator"
    for participant in "${participants[@]}"; do
        certificate "participant-$participant" clientAuth "URI:spiffe://$federation/participant/$participant"
    done
}

# https://www.rabbitmq.com/docs/passwords#computing-password-hash
rabbitmq_hash() {
    local salt
    salt=$(openssl rand -hex 4 | sed 's/../\\x&/g')
    { printf '%b' "$salt" && { printf '%b' "$salt" && printf '%s' "$1"; } | openssl dgst -sha256 -binary; } |
        openssl base64 -A
}

# rabbitmq_user NAME TAG CONFIGURE WRITE READ: adds to `users` and `permissions`.
rabbitmq_user() {
    local hash
    hash=$(rabbitmq_hash "$(password "amqp-$1")")
    users+=("{\"name\": \"$1\", \"password_hash\": \"$hash\",
      \"hashing_algorithm\": \"rabbit_password_hashing_sha256\", \"tags\": \"$2\"}")
    permissions+=("{\"user\": \"$1\", \"vhost\": \"/\",
      \"configure\": \"$3\", \"write\": \"$4\", \"read\": \"$5\"}")
    printf 'amqps://%s:%s@rabbitmq:5671/%%2f\n' "$1" "$(password "amqp-$1")" | write "amqp-$1-url"
}

joined() {
    local separator='' entry
    for entry in "$@"; do
        printf '%s\n    %s' "$separator" "$entry"
        separator=,
    done
}

# One user for each application, with no more rights than it needs. The names are those of the topology.
rabbitmq() {
    local ours='^((recent\\.)?commands|replies|dead-letters)(\\.[a-z0-9-]+)?$' users=() permissions=()
    rabbitmq_user provision '' "$ours" "$ours" "$ours"
    # It writes dispatches and their copies, and reads reports and, for operators, dead letters.
    rabbitmq_user broker '' '^$' '^(recent\\.)?commands$' '^(replies|dead-letters\\.[a-z0-9-]+)$'
    # For people at the console: they look into queues, and change nothing.
    rabbitmq_user console monitoring '^$' '^$' "$ours"
    for participant in "${participants[@]}"; do
        rabbitmq_user "participant-$participant" '' '^$' "^replies\\\\.$participant\$" "^commands\\\\.$participant\$"
    done
    write rabbitmq-definitions.json <<END
{
  "vhosts": [{"name": "/"}],
  "users": [$(joined "${users[@]}")
  ],
  "permissions": [$(joined "${permissions[@]}")
  ]
}
END
}

redis() {
    local secret hash
    secret=$(password redis-broker)
    hash=$(printf '%s' "$secret" | openssl dgst -sha256 -r | cut -d ' ' -f 1)
    printf 'user default off\nuser broker on #%s %s\n' "$hash" "$redis_rules" | write redis-users.acl
    printf 'rediss://broker:%s@redis:6379/\n' "$secret" | write redis-url
}

certificates
signing broker
for participant in "${participants[@]}"; do signing "participant-$participant"; done
rabbitmq
redis
password invocation-system >/dev/null
say "all are in $PWD"
