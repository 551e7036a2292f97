//! The script that accepts: what it decides about each command of a call, and what it writes.
//!
//! Invariant: nothing is written before everything is decided, and counts are written before what they count.
//! Not here: who calls it (`accept`), and what goes together (`gather`).

/// KEYS of all: sequences, scheduled, scheduled-counts, expiring, open, audit, approvals; of each call: command, request, index,
/// then an outbox for each execution that is sent. ARGV of all, from the third: how many may wait for a participant, wake channel, how
/// many may be out unreported, in how many ms a report is due; of each call:
/// id, what is kept of the request (empty without a request id), body, now, the moment before which nobody is told, the one at
/// which it expires (both empty without), originator, how many of its commands may be open, audit record, by when a second person
/// must have approved it, what is asked for of that one (both empty where nobody need), then for each execution: participant,
/// plan, order without its first member, what it tells (both empty when it is not sent), the lease under which it may be marked as
/// dispatched at once (empty where it may not).
/// An acceptance answers the sequence of each execution in an outbox, with a star where it is marked.
///
/// What many of them need is read and written once for all: decided is first, then all is counted, and then all is written, so
/// that no number is ever given twice.
pub(super) const ACCEPT: &str = r#"
local limit = tonumber(ARGV[3])
-- What was read once, and has grown since.
local function count_of(counts, name, ...)
  local count = counts[name]
  if not count then
    count = tonumber(redis.call(...) or 0)
    counts[name] = count
  end
  return count
end
local function text(number) return string.format('%d', number) end
local function add(list, one, other)
  local length = #list
  list[length + 1] = one
  list[length + 2] = other
end
-- What is known of those for whom something may be marked at once.
local lanes = {}
local function lane_of(participant, outbox)
  local lane = lanes[participant]
  if not lane then
    local front, back = string.match(outbox, '^(.*)outbox(:[^:]+)$')
    local unreported = front .. 'unreported' .. back
    lane = {
      owner = redis.call('GET', front .. 'owner' .. back),
      -- What waits in front and is not marked must find room in the rest, of which a lane that is behind keeps half free for a
      -- while, or nothing would ever be sent.
      room = ARGV[5] / 4 - redis.call('ZCARD', unreported), unreported = unreported, out = {}}
    lanes[participant] = lane
  end
  return lane
end
-- Whether its lease holds and a quarter of the window has room for it.
local function is_marked(lease, participant, outbox, id, accepted_at)
  if lease == '' then return false end
  local lane = lane_of(participant, outbox)
  if lane.owner ~= lease or lane.room < 1 then return false end
  lane.room = lane.room - 1
  add(lane.out, text(accepted_at + ARGV[6]), id)
  return true
end
-- For its time, or for a second person.
local function waits(a) return ARGV[a + 5] ~= '' or ARGV[a + 10] ~= '' end

local requests, waiting, scheduled, sequences, open, woken = {}, {}, {}, {}, {}, {}
local function decide(call)
  local k, a = call.keys, call.arguments
  local request = ARGV[a + 2]
  if request ~= '' then
    local known = requests[KEYS[k + 2]] or redis.call('GET', KEYS[k + 2])
    if known then return 'known', known end
  end
  local later, by, outbox, sent = waits(a), ARGV[a + 7], k + 3, 0
  for at = a + 12, call.last, 5 do
    if ARGV[at + 2] ~= '' then
      outbox, sent = outbox + 1, sent + 1
      local before
      if later then
        before = count_of(scheduled, ARGV[at], 'HGET', KEYS[3], ARGV[at])
      else
        before = count_of(waiting, KEYS[outbox], 'XLEN', KEYS[outbox])
      end
      if before >= limit then return 'full', text(sent - 1) end
    end
  end
  if sent > 0 then
    local before = count_of(open, by, 'HGET', KEYS[5], by)
    if before >= tonumber(ARGV[a + 8]) then return 'busy', '' end
    open[by] = before + 1
  end
  local numbers, marked, words = {}, {}, {}
  outbox = k + 3
  for at = a + 12, call.last, 5 do
    if ARGV[at + 2] ~= '' then
      local participant = ARGV[at]
      outbox = outbox + 1
      if later then
        scheduled[participant] = scheduled[participant] + 1
      else
        local number, place = count_of(sequences, participant, 'HGET', KEYS[1], participant) + 1, #numbers + 1
        sequences[participant] = number
        numbers[place] = text(number)
        marked[place] = is_marked(ARGV[at + 4], participant, KEYS[outbox], ARGV[a + 1], ARGV[a + 4])
        words[place] = marked[place] and numbers[place] .. '*' or numbers[place]
        -- Whoever empties an outbox goes on until it is empty, and is told when it is so no longer. What is marked is handed over.
        if waiting[KEYS[outbox]] == 0 and not marked[place] then woken[#woken + 1] = participant end
        waiting[KEYS[outbox]] = waiting[KEYS[outbox]] + 1
      end
    end
  end
  if request ~= '' then requests[KEYS[k + 2]] = request end
  call.numbers, call.marked, call.sent = numbers, marked, sent
  return 'accepted', table.concat(words, ' ')
end

local answers, accepted = {}, {}
for _, call in ipairs(calls) do
  add(answers, decide(call))
  if call.numbers then accepted[#accepted + 1] = call end
end
if #accepted == 0 then return answers end

local function set_all(key, counts)
  local list = {}
  for name, count in pairs(counts) do add(list, name, text(count)) end
  on_all('HSET', key, list)
end
set_all(KEYS[1], sequences)
set_all(KEYS[3], scheduled)
set_all(KEYS[5], open)
for _, lane in pairs(lanes) do on_all('ZADD', lane.unreported, lane.out) end

local indexes, due, expiring, approvals = {}, {}, {}, {}
for _, call in ipairs(accepted) do
  local k, a, numbers, sent = call.keys, call.arguments, call.numbers, 0
  local id, later, revision = ARGV[a + 1], waits(a), 1
  local fields = {'body', ARGV[a + 3], 'revision', '1', 'open', text(call.sent), 'by', ARGV[a + 7]}
  for at = a + 12, call.last, 5 do
    local participant, order, record = ARGV[at], ARGV[at + 2], 'X 1 ' .. ARGV[a + 4] .. ' 0'
    if order ~= '' then
      sent = sent + 1
      add(fields, 'd:' .. participant, ARGV[at + 3])
      local sequence = numbers[sent] or '0'
      record = 'A 1 ' .. ARGV[a + 4] .. ' ' .. sequence
      if call.marked[sent] then
        -- A move like any other: whoever watches on from the acceptance is told of it.
        revision = revision + 1
        record = 'S ' .. text(revision) .. ' ' .. ARGV[a + 4] .. ' ' .. sequence
        add(fields, 'h:' .. participant, 'S:' .. ARGV[a + 4])
      end
      if later then
        add(fields, 'o:' .. participant, order)
      else
        redis.call('XADD', KEYS[k + 3 + sent], sequence .. '-1', 'c', id, 'o', '{"sequence":' .. sequence .. ',' .. order)
      end
    end
    add(fields, 's:' .. participant, record)
    add(fields, 'x:' .. participant, ARGV[at + 1])
  end
  fields[4] = text(revision)
  if ARGV[a + 6] ~= '' then
    add(fields, 'expires', ARGV[a + 6])
    add(expiring, ARGV[a + 6], id)
  end
  if ARGV[a + 10] ~= '' then
    add(fields, 'a', ARGV[a + 11])
    add(approvals, ARGV[a + 10], id)
  elseif later then
    add(due, ARGV[a + 5], id)
  end
  on_all('HSET', KEYS[k + 1], fields)
  local index = KEYS[k + 3]
  indexes[index] = indexes[index] or {}
  add(indexes[index], '0', id)
  redis.call('XADD', KEYS[6], '*', 'r', ARGV[a + 9])
  if ARGV[a + 2] ~= '' then redis.call('SET', KEYS[k + 2], ARGV[a + 2]) end
end
for index, ids in pairs(indexes) do on_all('ZADD', index, ids) end
on_all('ZADD', KEYS[2], due)
on_all('ZADD', KEYS[4], expiring)
on_all('ZADD', KEYS[7], approvals)
if #woken > 0 then redis.call('PUBLISH', ARGV[4], table.concat(woken, ' ')) end
return answers
"#;
