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
    l.attempts, l.client_ip, l.upstream_request_id, v.name AS prompt
FROM request_logs l
LEFT JOIN dim_tokens t ON t.id = l.token_id
LEFT JOIN dim_accounts a ON a.id = l.account_id
LEFT JOIN dim_tenants n ON n.id = l.tenant_id
LEFT JOIN apps p ON p.id = l.app_id
LEFT JOIN end_users u ON u.id = l.end_user_id
LEFT JOIN models m ON m.id = l.model_id
LEFT JOIN models um ON um.id = l.upstream_model_id
LEFT JOIN dim_prompt_versions v ON v.id = l.prompt_version_id;
