//! Every limit of the relay, in one place, with its unit. A limit is part of what is promised: docs/limits.md
//! lists each. What bounds a body's or an answer's form is in the engine's `limits`, the journal's in `journal`.

/// Bytes of a request head, request line and fields together.
pub const HEAD_BYTES: usize = 32 * 1024;
/// Fields of a request head.
pub const HEAD_FIELDS: usize = 100;
/// Milliseconds from the first byte of a head to its last.
pub const HEAD_MS: u64 = 10_000;
/// Bytes of the request target.
pub const TARGET_BYTES: usize = 8 * 1024;
/// Milliseconds a connection may idle between two requests.
pub const KEEP_ALIVE_MS: u64 = 75_000;

/// Milliseconds a new connection may wait with its first byte.
pub const FIRST_BYTE_MS: u64 = 20_000;
/// Milliseconds for the TLS handshake of a connection, and for its PROXY header.
pub const HANDSHAKE_MS: u64 = 10_000;
/// Bytes of a PROXY header, its TLVs included.
pub const PROXY_HEADER_BYTES: usize = 4 * 1024;

/// Streams of an HTTP/2 connection that may be open at once.
pub const H2_STREAMS: u32 = 100;
/// Bytes an HTTP/2 stream may send before it is read.
pub const H2_STREAM_WINDOW: u32 = 64 * 1024;
/// Bytes an HTTP/2 connection may send before it is read.
pub const H2_CONNECTION_WINDOW: u32 = 1024 * 1024;
/// `RST_STREAM` frames of an HTTP/2 connection in a second; one more ends it with GOAWAY.
pub const H2_RESETS: u32 = 100;
/// SETTINGS, PING, PRIORITY, unknown and empty frames of an HTTP/2 connection in a second.
pub const H2_IDLE_FRAMES: u32 = 200;
/// `WINDOW_UPDATE` frames of an HTTP/2 connection in a second.
pub const H2_WINDOW_UPDATES: u32 = 20_000;

/// Bytes of a JSON request body.
pub const BODY_BYTES: usize = 10 * 1024 * 1024;
/// Milliseconds a body, or an upload to pages, may take before the least rate applies.
pub const BODY_GRACE_MS: u64 = 10_000;
/// Bytes per second a body, or an upload to pages, has to reach after the grace.
pub const BODY_LEAST_RATE: u64 = 1024;
/// Bytes of a refused request's body that are still taken, so that its client reads the refusal.
pub const DISCARD_BYTES: usize = 2 * 1024 * 1024;
/// Milliseconds in which they have to come.
pub const DISCARD_MS: u64 = 1_000;
/// Bytes of an upload on the way to pages.
pub const UPLOAD_BYTES: u64 = 50 * 1024 * 1024;

/// Milliseconds pages may take to begin an answer to a request that is no upload.
pub const PAGES_MS: u64 = 20_000;
/// Bytes of a body beyond which a request to pages is an upload, which takes the time that its sender takes.
pub const PAGES_SMALL_BYTES: u64 = 64 * 1024;

/// Bytes of a chunk's size line; extensions are refused.
pub const CHUNK_LINE_BYTES: usize = 16;
/// Bytes of a trailer section.
pub const TRAILER_BYTES: usize = 4 * 1024;

/// Bytes of a provider's response head.
pub const PROVIDER_HEAD_BYTES: usize = 32 * 1024;
/// Bytes of a whole answer that is not streamed.
pub const PROVIDER_BODY_BYTES: usize = 10 * 1024 * 1024;
/// Bytes of all events of one streamed answer.
pub const PROVIDER_STREAM_BYTES: u64 = 256 * 1024 * 1024;
/// Bytes of a provider's error body that are read, to see whether it is a block.
pub const PROVIDER_ERROR_BYTES: usize = 64 * 1024;
/// Bytes asked of a provider's socket in one read.
pub const PROVIDER_READ_BYTES: usize = 64 * 1024;
/// Milliseconds to connect to a provider when its configuration does not say.
pub const PROVIDER_CONNECT_MS: u64 = 5_000;
/// Milliseconds to a provider's first byte when its configuration does not say.
pub const PROVIDER_FIRST_BYTE_MS: u64 = 60_000;
/// Milliseconds between two bytes of a provider when its configuration does not say.
pub const PROVIDER_IDLE_MS: u64 = 120_000;
/// Milliseconds of a whole provider call when its configuration does not say.
pub const PROVIDER_TOTAL_MS: u64 = 1_800_000;
/// Milliseconds an idle provider connection is kept.
pub const PROVIDER_POOL_IDLE_MS: u64 = 30_000;
/// Idle connections kept per provider and thread.
pub const PROVIDER_POOL: usize = 256;

/// Bytes of released text that may wait for a slow reader before the provider is no longer read.
pub const OUT_BYTES: usize = 64 * 1024;
/// Bytes that hyper buffers per connection for writing.
pub const WRITE_BUFFER_BYTES: usize = 256 * 1024;
/// Milliseconds a client may leave a write unread before its connection is closed.
pub const WRITE_STALL_MS: u64 = 25_000;

/// Connections of all listeners together.
pub const CONNECTIONS: usize = 12_000;
/// Connections of one client address (IPv6: of one /64); behind a trusted proxy, its open requests.
pub const PER_ADDRESS: u32 = 200;
/// Credentials that control refused, of one client address in a minute and at once, when the configuration does not say.
pub const FAILED_CREDENTIALS: u64 = 300;
/// Requests that are no turns, of one client address in a minute and at once, when the configuration does not say.
pub const ADDRESS_REQUESTS: u64 = 6_000;
/// Requests that are no turns, of one principal in a minute and at once, when the configuration does not say.
pub const REQUESTS: u64 = 1_200;
/// Refused turns of one principal that are recorded, and opened ones that are given back, in a minute and at once, when the
/// configuration does not say.
pub const REFUSED_TURNS: u64 = 120;
/// Appeals that guests of one client address may send in a day and at once.
pub const GUEST_APPEALS: u64 = 50;
/// Codes to phones that one client address may ask for in an hour and at once.
pub const SIGNUP_CODES: u64 = 60;
/// Codes that one client address may give back in an hour and at once, right or wrong.
pub const SIGNUP_CHECKS: u64 = 300;
/// Clients that each of these rates remembers; of more, those who owe least are forgotten.
pub const THROTTLED: usize = 65_536;
/// Hops of `X-Forwarded-For` that are read, from the right.
pub const FORWARDED_HOPS: usize = 32;
/// Bytes of one file that says where addresses are.
pub const ADDRESS_FILE_BYTES: u64 = 512 * 1024 * 1024;
/// Milliseconds between two looks at the certificate's and the address files.
pub const WATCH_MS: u64 = 1_000;
/// Turns in flight per thread, waiting ones not counted. Idle streams are cheap; 10,000 in all is the goal.
pub const TURNS_PER_THREAD: usize = 6_000;
/// Turns in flight per thread that control answers itself: it answers one after the other.
pub const LOCAL_PER_THREAD: usize = 64;
/// Turns waiting for a place per thread.
pub const QUEUE_PER_THREAD: usize = 1_024;
/// Milliseconds a turn waits for a place before 503: short, for what waits delays what is taken in.
pub const PLACE_MS: u64 = 25;
/// Milliseconds a turn waits for contact or for a rule set, before 503.
pub const WAIT_MS: u64 = 1_000;
/// Milliseconds of work waiting in a thread beyond which it takes no new turn, of its own processor time.
pub const BEHIND_MS: u64 = 10;
/// Milliseconds for which a thread has to be that far behind before it refuses turns: a burst alone is taken.
pub const BEHIND_FOR_MS: u64 = 100;
/// The same for a thread that was behind a moment ago.
pub const BEHIND_AGAIN_MS: u64 = 20;
/// Milliseconds that are a moment in this.
pub const BEHIND_WARY_MS: u64 = 1_000;
/// Milliseconds between two looks at how much work waits; without turns nobody looks.
pub const LOOK_MS: u64 = 5;
/// Milliseconds after which a look says nothing any more.
pub const LOOK_OLD_MS: u64 = 50;
/// Seconds named in `Retry-After`.
pub const RETRY_AFTER_S: u64 = 1;

/// Milliseconds a running turn pauses without contact before it ends with the notice.
pub const PAUSE_MS: u64 = 10_000;
/// Milliseconds a question to control may take.
pub const CONTROL_MS: u64 = 2_000;
/// Milliseconds `GET /changes` may take; control answers within 250.
pub const CHANGES_MS: u64 = 1_500;
/// Milliseconds between two tries to reach control again.
pub const CHANGES_RETRY_MS: u64 = 50;
/// Bytes of an answer of control.
pub const CONTROL_BODY_BYTES: usize = 64 * 1024 * 1024;
/// Milliseconds a refusal of a credential is remembered.
pub const REFUSAL_MS: u64 = 1_000;
/// Credentials remembered.
pub const PRINCIPALS: usize = 65_536;
/// Plans remembered.
pub const PLANS: usize = 16_384;
/// Milliseconds after which an unused credential or plan is old, and after as many again forgotten. Control's answers
/// hold no longer than the first.
pub const GENERATION_MS: u64 = 300_000;
/// Recent changes kept, against which a turn that starts just now is checked.
pub const RECENT_CHANGES: usize = 4_096;
/// Times a question is asked again because a change arrived meanwhile.
pub const ASK_AGAIN: usize = 8;

/// Redactions of a request that are disclosed one by one; further ones together, one intervention for each rule.
pub const INWARD_DISCLOSED: usize = 100;
/// Rules of a request that get an intervention for their further redactions; one more stands for all other rules.
pub const INWARD_RULES: usize = 40;
/// Interventions of one message to control.
pub const INTERVENTIONS_STORED: usize = 500;
/// Bytes of an entry for what rules found; further rules are counted together, by action, under `*`.
pub const ENTRY_FINDINGS_BYTES: usize = 15_000;
/// Finish reasons of an entry; of an answer with more choices, the first.
pub const ENTRY_FINISHES: usize = 128;
/// Interventions that an entry names; control has all of a turn.
pub const ENTRY_INTERVENTIONS: usize = 300;
/// Milliseconds that storing an intervention, or a turn's outcome, may take before the turn ends with an error.
pub const SETTLE_MS: u64 = 5_000;

/// How many times the keys and strings of one body a body with a conversation's history may have.
pub const HISTORY_TIMES: u32 = 20;
/// Bytes of an `Idempotency-Key`.
pub const IDEMPOTENCY_KEY_BYTES: usize = 255;
/// Milliseconds a turn of a conversation goes on without any reader; then it is cancelled.
pub const ALONE_MS: u64 = 60_000;
/// Bytes of a running turn's frames that are kept as they are for its readers; what is older is kept as text.
pub const LIVE_RAW_BYTES: usize = 64 * 1024;
/// Bytes that the slowest reader of a running turn may be behind the fastest before it is cut off.
pub const LIVE_LAG_BYTES: usize = 1024 * 1024;
/// Bytes of text and calls that a running turn of a conversation may say in all; beyond it the turn ends.
pub const LIVE_BYTES: usize = 16 * 1024 * 1024;
/// Readers of one running turn.
pub const LIVE_READERS: usize = 32;
/// Milliseconds for which an entry whose group was slow is looked for in the log.
pub const SLOW_ENTRY_MS: u64 = 60_000;
/// Milliseconds control may take to say which turns of an earlier process it holds an outcome of.
pub const RECOVER_MS: u64 = 30_000;
/// Milliseconds that a request to stop a turn waits for its end.
pub const STOP_MS: u64 = 10_000;

/// Milliseconds of the coarse clock of a thread: deadlines are checked this often.
pub const TICK_MS: u64 = 100;
/// Milliseconds open turns may take to finish when the relay is asked to stop.
pub const DRAIN_MS: u64 = 25_000;
/// Milliseconds that ended turns, and the last push, may take after that.
pub const END_MS: u64 = 3_000;

/// Buckets of one message to control.
pub const BUCKETS_ASKED: usize = 256;
/// Milliseconds between two looks for allotments that are not used.
pub const TEND_MS: u64 = 1_000;

/// Milliseconds between two messages that say which run of the relay this is.
pub const OPENING_MS: u64 = 30_000;

/// Entries of one push to control.
pub const FEED_ENTRIES: usize = 4_000;
/// Bytes of one push to control.
pub const FEED_BYTES: usize = 4 * 1024 * 1024;
/// Milliseconds between two pushes when fewer entries wait.
pub const FEED_MS: u64 = 1_000;
/// Milliseconds control may take to project one push.
pub const FEED_POST_MS: u64 = 30_000;
/// Bytes of a field in a log line.
pub const LOG_FIELD_BYTES: usize = 2_048;
