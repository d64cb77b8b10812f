-- The ledger. Times are i64 microseconds UTC, money i64 nano-units, references small integers.
-- Wide columns first: PostgreSQL aligns, and this order leaves no gaps.
CREATE TABLE request_logs (
    rid BIGINT NOT NULL PRIMARY KEY,
    id_tail BIGINT NOT NULL, -- 54 random bits; with rid it makes the public id
    request_at BIGINT NOT NULL, -- microseconds since the epoch, UTC
    response_at BIGINT NOT NULL,
    token_id BIGINT NOT NULL,
    account_id BIGINT NOT NULL DEFAULT 0, -- 0: none was involved; the same for every reference below
    tenant_id BIGINT NOT NULL DEFAULT 0,
    app_id BIGINT NOT NULL DEFAULT 0,
    end_user_id BIGINT NOT NULL DEFAULT 0,
    model_id BIGINT NOT NULL DEFAULT 0, -- asked
    upstream_model_id BIGINT NOT NULL DEFAULT 0, -- answered
    price_id BIGINT NOT NULL DEFAULT 0,
    duration_ms BIGINT NOT NULL DEFAULT 0,
    ttft_ms BIGINT, -- NULL: no content token came
    prompt_tokens BIGINT NOT NULL DEFAULT 0,
    completion_tokens BIGINT NOT NULL DEFAULT 0,
    total_tokens BIGINT NOT NULL DEFAULT 0,
    cached_tokens BIGINT NOT NULL DEFAULT 0,
    cache_write_tokens BIGINT NOT NULL DEFAULT 0,
    reasoning_tokens BIGINT NOT NULL DEFAULT 0,
    cost_nano BIGINT NOT NULL DEFAULT 0, -- billionths of currency
    status_code INTEGER NOT NULL,
    mode SMALLINT NOT NULL DEFAULT 0, -- 0 api, 1 web
    operation SMALLINT NOT NULL DEFAULT 0, -- see the view
    source SMALLINT NOT NULL DEFAULT 0, -- 0 gateway, 1 otlp, 2 ingest
    node SMALLINT NOT NULL,
    attempts SMALLINT NOT NULL DEFAULT 0,
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
) PARTITION BY RANGE (rid);
-- What no month claims lands here; the writer reports it.
CREATE TABLE request_logs_default PARTITION OF request_logs DEFAULT;
CREATE INDEX request_logs_token ON request_logs (token_id, rid);
CREATE INDEX request_logs_account ON request_logs (account_id, rid);
CREATE INDEX request_logs_failed ON request_logs (status_code, rid) WHERE success = FALSE;

CREATE TABLE request_attempts (
    rid BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    account_id BIGINT NOT NULL,
    status_code INTEGER NOT NULL,
    ordinal SMALLINT NOT NULL, -- from 1, in the order they were tried
    error_code TEXT,
    PRIMARY KEY (rid, ordinal)
) PARTITION BY RANGE (rid);
CREATE TABLE request_attempts_default PARTITION OF request_attempts DEFAULT;

-- Records of a node up to and including seq are on the books: the first guard against doubling.
CREATE TABLE spool_cursors (
    node INTEGER NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL
);

-- Ids that others gave to what they sent us (OpenTelemetry spans, ingested records).
CREATE TABLE seen_ids (
    source TEXT NOT NULL,
    external_id TEXT NOT NULL,
    rid BIGINT NOT NULL,
    PRIMARY KEY (source, external_id)
);

-- Names a record needs. Ids of apps, end users and models are the ledger's own; 0 is nobody.
CREATE TABLE apps (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE end_users (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE models (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name TEXT NOT NULL UNIQUE);

-- Names of control-plane rows as they stood in the last record; ids are the control plane's.
CREATE TABLE dim_tokens (id BIGINT NOT NULL PRIMARY KEY, public_id TEXT NOT NULL, name TEXT NOT NULL);
CREATE TABLE dim_accounts (
    id BIGINT NOT NULL PRIMARY KEY, public_id TEXT NOT NULL, name TEXT NOT NULL, provider TEXT NOT NULL DEFAULT ''
);
CREATE TABLE dim_tenants (id BIGINT NOT NULL PRIMARY KEY, public_id TEXT NOT NULL, name TEXT NOT NULL);
CREATE INDEX dim_tokens_public_id ON dim_tokens (public_id);
CREATE INDEX dim_accounts_public_id ON dim_accounts (public_id);
CREATE INDEX dim_tenants_public_id ON dim_tenants (public_id);

-- Totals: only the node of the key updates its row, readers add them up.
CREATE TABLE token_totals (
    token_id BIGINT NOT NULL,
    node INTEGER NOT NULL,
    total_requests BIGINT NOT NULL DEFAULT 0,
    total_tokens BIGINT NOT NULL DEFAULT 0,
    last_used_at BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (token_id, node)
);
CREATE TABLE tenant_totals (
    tenant_id BIGINT NOT NULL,
    node INTEGER NOT NULL,
    total_requests BIGINT NOT NULL DEFAULT 0,
    total_tokens BIGINT NOT NULL DEFAULT 0,
    last_active_at BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, node)
);

-- Records the request log would not take, kept as they lay in the spool.
CREATE TABLE dead_letters (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node INTEGER NOT NULL,
    seq BIGINT NOT NULL,
    rid BIGINT, -- NULL: the payload could not be read
    reason TEXT NOT NULL,
    payload BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    replayed_at BIGINT,
    UNIQUE (node, seq)
);

-- The log spelt out, for people with a SQL client. `id` is the public id (a UUIDv7 of rid and tail).
CREATE VIEW request_log_view AS
SELECT
    (lpad(to_hex(l.rid >> 36), 8, '0') || lpad(to_hex((l.rid >> 20) & 65535), 4, '0')
        || '7' || lpad(to_hex((l.rid >> 8) & 4095), 3, '0')
        || lpad(to_hex(32768 | ((((l.rid & 255) << 54) | l.id_tail) >> 48)), 4, '0')
        || lpad(to_hex((((l.rid & 255) << 54) | l.id_tail) & 281474976710655), 12, '0'))::uuid AS id,
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
    to_timestamp(l.request_at / 1000000.0) AS request_at,
    to_timestamp(l.response_at / 1000000.0) AS response_at,
    l.duration_ms, l.ttft_ms,
    l.prompt_tokens, l.completion_tokens, l.total_tokens, l.cached_tokens, l.cache_write_tokens,
    l.reasoning_tokens, l.usage_estimated,
    (l.cost_nano / 1000000000::numeric) AS cost,
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
