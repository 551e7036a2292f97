//! The script that accepts: what it decides about each command of a call, and what it writes.
//!
//! Invariant: nothing is written before everything is decided, and counts are written before what they count.
//! Not here: who calls it (`accept`), how it is asked (`asked`), and what goes together (`gather`).

/// KEYS of all: sequences, scheduled, scheduled-counts, expiring, open, audit, approvals; then the index of each originator, the
/// outbox of each participant, and for each command: itself, and its request where it has an id.
///
/// ARGV of all: how many may wait for a participant, wake channel, how many may be out unreported, in how many ms a report is due, how
/// many originators and participants follow, the audit records of all commands (one on each line); of each originator: id, how many
/// of its commands may be open; of each participant: id, the lease under which what is for it may be marked as dispatched at
/// once (empty where nothing may). Of each command: body, when it was accepted, which originator's it is, how many executions it has,
/// and how many arguments follow behind these. Of each execution: for which participant it is (negative where it must not be marked at
/// once), what it was told and the plan, the order without its first member (empty where nothing is sent). Behind them, only for what
/// has any of them: what is kept of the request, the moment before which nobody is told, the one at which it expires, the one by
/// which a second person must have approved it, what is asked for of that one; each may be empty.
///
/// Answers a line for each command: `k` and what is kept of an earlier request, `f` and the place of the execution whose participant has
/// too many waiting, `b` where too many commands of the originator are open, or `a` and the sequence of each execution in an
/// outbox, with a star where it is marked.
///
/// What many of them need is read and written once for all: decided is first, then all is counted, and then all is written, so
/// that no number is ever given twice; a request last of what is a command's, so that it names what is there.
pub(super) const ACCEPT: &str = r"
local KEYS, ARGV, call = KEYS, ARGV, redis.call
local limit, window, report = tonumber(ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[4])
local function text(number) return string.format('%d', number) end
local function add(list, one, other)
  local length = #list
  list[length + 1] = one
  list[length + 2] = other
end

local originators, lanes, at, at_key = {}, {}, 8, 7
for n = 1, tonumber(ARGV[5]) do
  at_key = at_key + 1
  originators[text(n)] = {
    id = ARGV[at], most = tonumber(ARGV[at + 1]), open = tonumber(call('HGET', KEYS[5], ARGV[at]) or 0), index = KEYS[at_key],
    accepted = {}}
  at = at + 2
end
-- By their numbers with a sign and without.
local by_number = {}
for n = 1, tonumber(ARGV[6]) do
  at_key = at_key + 1
  local participant, number = ARGV[at], text(n)
  local lane = {
    participant = participant, lease = ARGV[at + 1], outbox = KEYS[at_key], state = 's:' .. participant, plan = 'x:' .. participant,
    out = {}}
  lanes[n], by_number[number], by_number['-' .. number] = lane, lane, lane
  at = at + 2
end
-- What is known of a lane is read when it is needed.
local function read(lane)
  lane.waiting = call('XLEN', lane.outbox)
  lane.sequence = tonumber(call('HGET', KEYS[1], lane.participant) or 0)
  lane.room = 0
  if lane.lease ~= '' then
    local front, back = string.match(lane.outbox, '^(.*)outbox(:[^:]+)$')
    if call('GET', front .. 'owner' .. back) == lane.lease then
      lane.unreported = front .. 'unreported' .. back
      -- What waits in front and is not marked must find room in the rest, of which a lane that is behind keeps half free for a
      -- while, or nothing would ever be sent.
      lane.room = window / 4 - call('ZCARD', lane.unreported)
    end
  end
end
-- What few commands have: what is kept of the request, the three moments, and what is asked for of a second person.
local function extras_of(from) return ARGV[from], ARGV[from + 1], ARGV[from + 2], ARGV[from + 3], ARGV[from + 4] end

local requests, woken = {}, {}
-- Decides of a command whose executions stand from one place to another: the answer, and how many are sent where it is accepted.
local function decide(first, last, originator, waits, request_key, request)
  if request_key then
    local known = requests[request_key] or call('GET', request_key)
    if known then return 'k ' .. known end
  end
  local sent = 0
  for place = first, last, 3 do
    if ARGV[place + 2] ~= '' then
      local lane, before = by_number[ARGV[place]]
      if waits then
        lane.scheduled = lane.scheduled or tonumber(call('HGET', KEYS[3], lane.participant) or 0)
        before = lane.scheduled
      else
        if not lane.waiting then read(lane) end
        before = lane.waiting
      end
      if before >= limit then return 'f ' .. (place - first) / 3 end
      sent = sent + 1
    end
  end
  if sent > 0 then
    if originator.open >= originator.most then return 'b' end
    originator.open = originator.open + 1
    originator.has_more = true
  end
  if request_key then requests[request_key] = request end
  return 'a', sent
end

-- Of executions that are in an outbox, in their order: the sequence, and whether it is marked.
local sequences, marked, moment, deadline = {}, {}, '', ''
-- Gives such an execution its place, and answers that.
local function give(number, id, now)
  local lane, nth = by_number[number], #sequences + 1
  local sequence = lane.sequence + 1
  lane.sequence, lane.has_more = sequence, true
  sequence = text(sequence)
  sequences[nth], marked[nth] = sequence, false
  -- Its lease holds, and a quarter of the window has room for it.
  if lane.room >= 1 and string.byte(number) ~= 45 then
    lane.room = lane.room - 1
    marked[nth] = true
    if now ~= moment then moment, deadline = now, text(now + report) end
    add(lane.out, deadline, id)
  elseif lane.waiting == 0 then
    -- Whoever empties an outbox goes on until it is empty, and is told when it is so no longer. What is marked is handed over.
    woken[#woken + 1] = lane.participant
  end
  lane.waiting = lane.waiting + 1
  return marked[nth] and sequence .. '*' or sequence
end

local answers, sent_of, accepted, begin, begin_key = {}, {}, 0, at, at_key
while at <= #ARGV do
  at_key = at_key + 1
  local key, now, originator, executions, extras = KEYS[at_key], ARGV[at + 1], originators[ARGV[at + 2]], ARGV[at + 3], ARGV[at + 4]
  local first, number, waits, request_key, request = at + 5, #answers + 1, false
  local last = first + 3 * executions - 3
  at = last + 3 + extras
  if extras ~= '0' then
    local kept, not_before, _, approve_until = extras_of(last + 3)
    -- For its time, or for a second person.
    waits = not_before ~= '' or approve_until ~= ''
    if kept ~= '' then
      at_key = at_key + 1
      request_key, request = KEYS[at_key], kept
    end
  end
  local answer, sent = decide(first, last, originator, waits, request_key, request)
  if sent then
    accepted = accepted + 1
    sent_of[number] = sent
    local id = string.sub(key, -36)
    for place = first, last, 3 do
      if ARGV[place + 2] ~= '' then
        if waits then
          local lane = by_number[ARGV[place]]
          lane.scheduled = lane.scheduled + 1
          lane.has_scheduled = true
        else
          answer = answer .. ' ' .. give(ARGV[place], id, now)
        end
      end
    end
  end
  answers[number] = answer
end
if accepted == 0 then return table.concat(answers, '\n') end

local given, scheduled, open = {}, {}, {}
for _, lane in ipairs(lanes) do
  if lane.has_more then add(given, lane.participant, text(lane.sequence)) end
  if lane.has_scheduled then add(scheduled, lane.participant, text(lane.scheduled)) end
end
for _, originator in pairs(originators) do
  if originator.has_more then add(open, originator.id, text(originator.open)) end
end
on_all('HSET', KEYS[1], given)
on_all('HSET', KEYS[3], scheduled)
on_all('HSET', KEYS[5], open)
for _, lane in ipairs(lanes) do
  if #lane.out > 0 then on_all('ZADD', lane.unreported, lane.out) end
end

local due, expiring, approvals, nth = {}, {}, {}, 0
local revision
-- Puts an execution into its outbox, and answers its record.
local function put(lane, order, id, now)
  nth = nth + 1
  local sequence = sequences[nth]
  call('XADD', lane.outbox, sequence .. '-1', 'c', id, 'o', order)
  if not marked[nth] then return 'A 1 ' .. now .. ' ' .. sequence end
  -- A move like any other: whoever watches on from the acceptance is told of it.
  revision = revision + 1
  return 'S ' .. revision .. ' ' .. now .. ' ' .. sequence .. ' S:' .. now
end
at, at_key = begin, begin_key
for number = 1, #answers do
  at_key = at_key + 1
  local key, body, now, originator, extras = KEYS[at_key], ARGV[at], ARGV[at + 1], originators[ARGV[at + 2]], ARGV[at + 4]
  local first, sent, id, waits, expires = at + 5, sent_of[number], string.sub(key, -36), false, '-'
  local last = first + 3 * ARGV[at + 3] - 3
  at = last + 3 + extras
  revision = 1
  if sent and extras == '0' and first == last and sent == 1 then
    local lane = by_number[ARGV[first]]
    local record = put(lane, ARGV[first + 2], id, now)
    call('HSET', key, 'body', body, 'n', revision .. ' 1 ' .. originator.id .. ' -', lane.state, record, lane.plan, ARGV[first + 1])
    add(originator.accepted, '0', id)
  else
    local fields, request_key, request = {'body', body, 'n', ''}
    if extras ~= '0' then
      local kept, not_before, expires_at, approve_until, approval = extras_of(last + 3)
      if kept ~= '' then
        at_key = at_key + 1
        request_key, request = KEYS[at_key], kept
        add(fields, 'q', request_key)
      end
      if sent then
        waits = not_before ~= '' or approve_until ~= ''
        if expires_at ~= '' then
          expires = expires_at
          add(expiring, expires, id)
        end
        if approve_until ~= '' then
          add(fields, 'a', approval)
          add(approvals, approve_until, id)
        elseif waits then
          add(due, not_before, id)
        end
      end
    end
    if sent then
      for place = first, last, 3 do
        local lane, order, record = by_number[ARGV[place]], ARGV[place + 2]
        if order == '' then
          record = 'X 1 ' .. now .. ' 0'
        elseif waits then
          record = 'A 1 ' .. now .. ' 0'
          add(fields, 'o:' .. lane.participant, order)
        else
          record = put(lane, order, id, now)
        end
        add(fields, lane.state, record)
        add(fields, lane.plan, ARGV[place + 1])
      end
      fields[4] = revision .. ' ' .. sent .. ' ' .. originator.id .. ' ' .. expires
      on_all('HSET', key, fields)
      -- It names what is there.
      if request_key then call('SET', request_key, request) end
      add(originator.accepted, '0', id)
    end
  end
end
for _, originator in pairs(originators) do on_all('ZADD', originator.index, originator.accepted) end
on_all('ZADD', KEYS[2], due)
on_all('ZADD', KEYS[4], expiring)
on_all('ZADD', KEYS[7], approvals)
-- One entry for all of a call: the records of those that were refused are cut out.
local records = ARGV[7]
if accepted < #answers then
  local number, kept = 0, {}
  for line in string.gmatch(records, '[^\n]+') do
    number = number + 1
    if sent_of[number] then kept[#kept + 1] = line end
  end
  records = table.concat(kept, '\n')
end
call('XADD', KEYS[6], '*', 'r', records)
if #woken > 0 then call('PUBLISH', ARGV[2], table.concat(woken, ' ')) end
return table.concat(answers, '\n')
";
