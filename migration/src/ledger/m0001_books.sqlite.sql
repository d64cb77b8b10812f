-- The ledger. Times are i64 microseconds UTC, money i64 nano-units, references small integers.
CREATE TABLE request_logs (
    rid INTEGER NOT NULL PRIMARY KEY,
    id_tail INTEGER NOT NULL, -- 54 random bits; with rid it makes the public id
    request_at INTEGER NOT NULL, -- microseconds since the epoch, UTC
    response_at INTEGER NOT NULL,
    token_id INTEGER NOT NULL,
    account_id INTEGER NOT NULL DEFAULT 0, -- 0: none was involved; the same for every reference below
    tenant_id INTEGER NOT NULL DEFAULT 0,
    app_id INTEGER NOT NULL DEFAULT 0,
    end_user_id INTEGER NOT NULL DEFAULT 0,
    model_id INTEGER NOT NULL DEFAULT 0, -- asked
    upstream_model_id INTEGER NOT NULL DEFAULT 0, -- answered
    price_id INTEGER NOT NULL DEFAULT 0,
    duration_ms INTEGER NOT NULL DEFAULT 0,
    ttft_ms INTEGER, -- NULL: no content token came
    prompt_tokens INTEGER NOT NULL DEFAULT 0,
    completion_tokens INTEGER NOT NULL DEFAULT 0,
    total_tokens INTEGER NOT NULL DEFAULT 0,
    cached_tokens INTEGER NOT NULL DEFAULT 0,
    cache_write_tokens INTEGER NOT NULL DEFAULT 0,
    reasoning_tokens INTEGER NOT NULL DEFAULT 0,
    cost_nano INTEGER NOT NULL DEFAULT 0, -- billionths of currency
    status_code INTEGER NOT NULL,
    mode INTEGER NOT NULL DEFAULT 0, -- 0 api, 1 web
    operation INTEGER NOT NULL DEFAULT 0, -- see the view
    source INTEGER NOT NULL DEFAULT 0, -- 0 gateway, 1 otlp, 2 ingest
    node INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    stream BOOLEAN NOT NULL DEFAULT FALSE,
    usage_estimated BOOLEAN NOT NULL DEFAULT FALSE,
    priced BOOLEAN NOT NULL DEFAULT FALSE,
    success BOOLEAN NOT NULL,
    provider TEXT NOT NULL DEFAULT '',
    currency TEXT NOT NULL DEFAULT '',
    error_code TEXT,
    error_message TEXT,
    conversation_id TEXT,
    client_ip TEXT,
    upstream_request_id TEXT
);
-- Every SQLite index ends in the rowid, which is the rid.
CREATE INDEX request_logs_token ON request_logs (token_id);
CREATE INDEX request_logs_account ON request_logs (account_id);
CREATE INDEX request_logs_failed ON request_logs (status_code) WHERE success = FALSE;

CREATE TABLE request_attempts (
    rid INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    account_id INTEGER NOT NULL,
    status_code INTEGER NOT NULL,
    ordinal INTEGER NOT NULL, -- from 1, in the order they were tried
    error_code TEXT,
    PRIMARY KEY (rid, ordinal)
) WITHOUT ROWID;

-- Records of a node up to and including seq are on the books: the first guard against doubling.
CREATE TABLE spool_cursors (
    node INTEGER NOT NULL PRIMARY KEY,
    seq INTEGER NOT NULL
);

-- Ids that others gave to what they sent us (OpenTelemetry spans, ingested records).
CREATE TABLE seen_ids (
    source TEXT NOT NULL,
    external_id TEXT NOT NULL,
    rid INTEGER NOT NULL,
    PRIMARY KEY (source, external_id)
) WITHOUT ROWID;

-- Names a record needs. Ids of apps, end users and models are the ledger's own; 0 is nobody.
CREATE TABLE apps (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE end_users (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE models (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);

-- Names of control-plane rows as they stood in the last record; ids are the control plane's.
CREATE TABLE dim_tokens (id INTEGER NOT NULL PRIMARY KEY, public_id TEXT NOT NULL, name TEXT NOT NULL);
CREATE TABLE dim_accounts (
    id INTEGER NOT NULL PRIMARY KEY, public_id TEXT NOT NULL, name TEXT NOT NULL, provider TEXT NOT NULL DEFAULT ''
);
CREATE TABLE dim_tenants (id INTEGER NOT NULL PRIMARY KEY, public_id TEXT NOT NULL, name TEXT NOT NULL);
CREATE INDEX dim_tokens_public_id ON dim_tokens (public_id);
CREATE INDEX dim_accounts_public_id ON dim_accounts (public_id);
CREATE INDEX dim_tenants_public_id ON dim_tenants (public_id);

-- Totals: only the node of the key updates its row, readers add them up.
CREATE TABLE token_totals (
    token_id INTEGER NOT NULL,
    node INTEGER NOT NULL,
    total_requests INTEGER NOT NULL DEFAULT 0,
    total_tokens INTEGER NOT NULL DEFAULT 0,
    last_used_at INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (token_id, node)
) WITHOUT ROWID;
CREATE TABLE tenant_totals (
    tenant_id INTEGER NOT NULL,
    node INTEGER NOT NULL,
    total_requests INTEGER NOT NULL DEFAULT 0,
    total_tokens INTEGER NOT NULL DEFAULT 0,
    last_active_at INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, node)
) WITHOUT ROWID;

-- Records the request log would not take, kept as they lay in the spool.
CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY,
    node INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    rid INTEGER, -- NULL: the payload could not be read
    reason TEXT NOT NULL,
    payload BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    replayed_at INTEGER,
    UNIQUE (node, seq)
);

-- The log spelt out, for people with a SQL client. `id` is the public id (a UUIDv7 of rid and tail).
CREATE VIEW request_log_view AS
SELECT
    printf('%08x-%04x-7%03x-%04x-%012x',
        l.rid >> 36, (l.rid >> 20) & 65535, (l.rid >> 8) & 4095,
        32768 | ((((l.rid & 255) << 54) | l.id_tail) >> 48),
        (((l.rid & 255) << 54) | l.id_tail) & 281474976710655) AS id,
    l.rid,
    t.public_id AS token_id,
    t.name AS token_name,
    a.public_id AS account_id,
    a.name AS account_name,
    n.public_id AS tenant_id,
    n.name AS tenant_name,
    p.name AS app,
    u.name AS user_name,
    CASE l.mode WHEN 1 THEN 'web' ELSE 'api' END AS mode,
    l.provider,
    m.name AS model,
    um.name AS upstream_model,
    CASE l.operation
        WHEN 1 THEN 'chat' WHEN 2 THEN 'responses' WHEN 3 THEN 'completion' WHEN 4 THEN 'embedding'
        WHEN 5 THEN 'messages' WHEN 6 THEN 'count_tokens' WHEN 7 THEN 'vector_query' ELSE 'unknown'
    END AS operation,
    l.stream,
    strftime('%Y-%m-%dT%H:%M:%f', l.request_at / 1000000.0, 'unixepoch') || 'Z' AS request_at,
    strftime('%Y-%m-%dT%H:%M:%f', l.response_at / 1000000.0, 'unixepoch') || 'Z' AS response_at,
    l.duration_ms, l.ttft_ms,
    l.prompt_tokens, l.completion_tokens, l.total_tokens, l.cached_tokens, l.cache_write_tokens,
    l.reasoning_tokens, l.usage_estimated,
    l.cost_nano / 1000000000.0 AS cost,
    l.currency, l.priced, l.price_id, l.status_code, l.success, l.error_code, l.error_message,
    l.conversation_id, l.node,
    CASE l.source WHEN 1 THEN 'otlp' WHEN 2 THEN 'ingest' ELSE 'gateway' END AS source,
    l.attempts, l.client_ip, l.upstream_request_id
FROM request_logs l
LEFT JOIN dim_tokens t ON t.id = l.token_id
LEFT JOIN dim_accounts a ON a.id = l.account_id
LEFT JOIN dim_tenants n ON n.id = l.tenant_id
LEFT JOIN apps p ON p.id = l.app_id
LEFT JOIN end_users u ON u.id = l.end_user_id
LEFT JOIN models m ON m.id = l.model_id
LEFT JOIN models um ON um.id = l.upstream_model_id;
