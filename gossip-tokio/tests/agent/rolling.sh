#!/usr/bin/env bash
# A rolling upgrade of nine agents from an earlier commit to this tree and back, with a hundred writes a second by a tenth: no write is
# lost, no death is seen. Takes some minutes, most of them to build the earlier commit.
#
#   gossip-tokio/tests/agent/rolling.sh [COMMIT]     the commit before this one, unless another is named
#
# OLD_AGENT and NEW_AGENT name agents that are built already.
set -euo pipefail
cd "$(dirname "$0")/../../.."
commit=$(git rev-parse --verify "${1:-HEAD~1}")
place=$(mktemp -d)
pids=()
finish() {
  kill "${pids[@]}" 2>/dev/null || true
  wait 2>/dev/null || true
  git worktree remove --force "$place/tree" 2>/dev/null || true
  rm -rf "$place"
}
trap finish EXIT

build() { cargo build --quiet --locked --manifest-path "$1/Cargo.toml" -p gossip-tokio --features agent --bin gossip-agent --target-dir "$2"; }
if [ -z "${OLD_AGENT:-}" ]; then
  git worktree add --quiet --detach "$place/tree" "$commit"
  build "$place/tree" "$place/target"
fi
[ -n "${NEW_AGENT:-}" ] || build . "${CARGO_TARGET_DIR:-target}"
old=${OLD_AGENT:-$place/target/debug/gossip-agent}
new=${NEW_AGENT:-${CARGO_TARGET_DIR:-target}/debug/gossip-agent}
port() { echo $((27400 + $1)); }
ctl() { "$1" ctl --control "$place/$2.sock" "${@:3}"; }

start() { # binary, number
  "$1" --bind "127.0.0.1:$(port "$2")" --join "127.0.0.1:$(port 0)" --join "127.0.0.1:$(port 1)" --name "node-$2" \
    --data "$place/$2.data" --control "$place/$2.sock" --log warn >>"$place/$2.log" 2>&1 </dev/null &
  pids[$2]=$!
  "$1" ctl --control "$place/$2.sock" info --wait-healthy >/dev/null 2>&1 || sleep 1
}

# The writer is node 0 and never restarts: it takes a hundred writes a second.
"$old" --bind "127.0.0.1:$(port 0)" --name writer --control "$place/0.sock" --log warn >"$place/0.log" 2>&1 </dev/null &
pids[0]=$!
for node in 1 2 3 4 5 6 7 8 9; do start "$old" "$node"; done
ctl "$old" 0 --json watch >"$place/events" 2>/dev/null &
pids[10]=$!
python3 - "$place" <<'PYTHON' &
import http.client, os, socket, sys, time

place, count = sys.argv[1], 0
# One connection for all: a process for each write would be the limit.
http = http.client.HTTPConnection("agent")
http.sock = socket.socket(socket.AF_UNIX)
http.sock.connect(f"{place}/0.sock")
while not os.path.exists(f"{place}/stop"):
    for _ in range(10):
        count += 1
        http.request("PUT", f"/v1/entries/w/{count}", str(count))
        answer = http.getresponse()
        if answer.status != 200:
            sys.exit(f"write {count}: {answer.status} {answer.read()}")
        answer.read()
    with open(f"{place}/written", "w") as file:
        file.write(str(count))
    time.sleep(0.1)
PYTHON
pids[11]=$!

roll() { # binary
  for node in 1 2 3 4 5 6 7 8 9; do
    kill "${pids[$node]}"
    wait "${pids[$node]}" || true
    start "$1" "$node"
    sleep 1
  done
}
roll "$new"
# Each version's commands at an agent of the other: an answer, or an error that says why.
ctl "$old" 3 members >/dev/null
ctl "$new" 0 members >/dev/null
roll "$old"
touch "$place/stop"
wait "${pids[11]}" || true
written=$(cat "$place/written")
sleep 10

for node in 1 2 3 4 5 6 7 8 9; do
  held=$(ctl "$old" "$node" --json list w/ | grep -c '"name"' || true)
  [ "$held" -eq "$written" ] || { echo "node $node holds $held of $written writes"; tail -5 "$place/$node.log"; exit 1; }
done
deaths=$(grep -c '"status":"dead"' "$place/events" || true)
[ "$deaths" -eq 0 ] || { echo "$deaths deaths were seen"; grep '"status":"dead"' "$place/events" | head -3; exit 1; }
# Whoever is back at once is not seen to leave, but each start is seen: nine, and two restarts of each.
starts=$(grep '"status":"alive"' "$place/events" | grep -c '"name":"node-' || true)
[ "$starts" -ge 27 ] || { echo "$starts starts were seen of 27: the events say too little"; head -3 "$place/events"; exit 1; }
echo "$written writes, all at nine nodes; 18 restarts from ${OLD_AGENT:-${commit:0:7}} to ${NEW_AGENT:-this tree} and back, no death"
