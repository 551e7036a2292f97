#!/bin/bash
# The main road in containers: loads objects into all caches, purges them as the participant `north`, and asks every cache
# before and after. Exit code 0 when every cache held every object before and fetched it anew after.
set -euo pipefail

host=www.example.com
paths=(/demo/1 /demo/2 /demo/3)
caches=(north-varnish-1 north-varnish-2 south-nginx south-squid west-traffic-server)
declare -A before
missed=0

# ask CACHE PATH: the word for how the cache came to its answer, and the moment at which the origin served it.
ask() {
    local answer
    exec 3<>"/dev/tcp/$1/8080"
    printf 'GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$2" "$host" >&3
    answer=$(timeout 10 cat <&3 | tr -d '\r')
    exec 3<&-
    # Traffic Server says it with a code in Via: H and R are hits.
    if grep -qiE '^(x-cache: (HIT|STALE)|via:.*\[c[HR])' <<<"$answer"; then echo -n 'HIT '; else echo -n 'MISS '; fi
    sed -nE 's/.*served by the origin at ([0-9.]+).*/\1/p' <<<"$answer"
}

row() { printf '%-20s %-10s %-18s %-18s %s\n' "$@"; }

miss() {
    echo "not as it should be: $*"
    missed=$((missed + 1))
}

urls=()
for path in "${paths[@]}"; do urls+=("http://$host$path"); done

echo "Loads ${#paths[@]} objects into all caches:"
fedctl load "${urls[@]}"

for cache in "${caches[@]}"; do
    for path in "${paths[@]}"; do
        before[$cache$path]=$(ask "$cache" "$path")
        [[ ${before[$cache$path]} == HIT* ]] || miss "$cache does not hold $path before the purge"
    done
done

echo 'Purges them:'
start=$(date +%s%N)
fedctl purge "${urls[@]}"
took=$((($(date +%s%N) - start) / 1000000))

row CACHE OBJECT BEFORE AFTER ''
for cache in "${caches[@]}"; do
    for path in "${paths[@]}"; do
        after=$(ask "$cache" "$path")
        read -r word served <<<"$after"
        read -r word_before served_before <<<"${before[$cache$path]}"
        verdict=fresh
        [[ $word == MISS && -n $served && $served != "$served_before" ]] || verdict=OLD
        [[ $verdict == fresh ]] || miss "$cache still serves the old $path"
        row "$cache" "$path" "$word_before" "$word" "$verdict"
    done
done

echo 'What a purge of a tag would do:'
fedctl plan purge shop --tag demo

objects="${#caches[@]} servers of 3 participants, ${#paths[@]} objects"
if ((missed > 0)); then
    echo "demo: $objects: $missed not as they should be"
    exit 1
fi
echo "demo: $objects: all HIT before, all fresh after, $took ms"
