#!/usr/bin/env python3
"""Makes a data directory with a long request log and leaves it, for looking at a Steward that has seen much.

    benches/long_log.py STEWARD DIR [ROWS]        the program, a new directory, 10,000,000 rows

Ninety days that end now, 200 tokens (few of them busy), 50 accounts, 12 models, 2,000 users, 3 % failures, as in
`src/seed.rs`; the rollups are counted by Steward itself, which is started for it, with the operator `admin` and the
password `bench-password`.
"""

import os
import sqlite3
import subprocess
import sys
import time

PART = 1_000_000


def names(ledger, table, columns, count, row):
    ledger.execute(
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) "
        f"INSERT INTO {table} ({columns}) SELECT {row} FROM n"
    )


def fill(path, rows):
    ledger = sqlite3.connect(path, isolation_level=None)
    ledger.execute("PRAGMA synchronous = OFF")
    for table, prefix, count in [("apps", "app", 20), ("end_users", "user", 2_000), ("models", "model", 12)]:
        names(ledger, table, "id, name", count, f"i, '{prefix}-' || i")
    for table, prefix, count in [("dim_tokens", "tok", 200), ("dim_accounts", "acc", 50)]:
        names(ledger, table, "id, public_id, name", count, f"i, '{prefix}_' || printf('%020d', i), '{prefix}-' || i")
    # Built afterwards, indexes are the same and come faster.
    indexes = ledger.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'request_logs' AND sql IS NOT NULL"
    ).fetchall()
    for name, _ in indexes:
        ledger.execute(f"DROP INDEX {name}")
    span_ms = 90 * 86_400_000
    start_ms = int(time.time() * 1000) - span_ms
    for begin in range(0, rows, PART):
        end = min(begin + PART, rows)
        # A multiplicative hash of the row's number stands in for chance.
        ledger.execute(f"""
            WITH RECURSIVE n(i) AS (SELECT {begin} UNION ALL SELECT i + 1 FROM n WHERE i < {end} - 1),
              r AS (SELECT i, {start_ms} + i * {span_ms} / {rows} AS ms, (i * 2654435761) & 4294967295 AS h FROM n)
            INSERT INTO request_logs (rid, id_tail, request_at, response_at, token_id, account_id, app_id, end_user_id,
              model_id, upstream_model_id, duration_ms, ttft_ms, prompt_tokens, completion_tokens, total_tokens,
              status_code, operation, node, attempts, stream, success, provider, error_code)
            SELECT (ms << 20) | (i & 15), h, ms * 1000, ms * 1000 + 900000,
              1 + ((h >> 8) % 200) * ((h >> 16) % 200) / 200, 1 + (h >> 4) % 50, 1 + (h >> 6) % 20,
              1 + (h >> 5) % 2000, 1 + (h >> 7) % 12, 1 + (h >> 7) % 12, 100 + (h >> 3) % 5000, 80,
              (h >> 2) % 4000, (h >> 9) % 900, (h >> 2) % 4000 + (h >> 9) % 900,
              CASE WHEN h % 100 < 97 THEN 200 WHEN h % 100 = 97 THEN 429 ELSE 502 END, 1, 0, 1, (h >> 10) & 1,
              h % 100 < 97, 'openai', CASE WHEN h % 100 < 97 THEN NULL ELSE 'upstream_error' END
            FROM r""")
        print(f"{end:,} rows", flush=True)
    for _, sql in indexes:
        ledger.execute(sql)
    ledger.execute(
        "INSERT INTO token_totals SELECT token_id, 0, count(*), sum(total_tokens), max(response_at) "
        "FROM request_logs GROUP BY 1"
    )
    # As after an upgrade: what is in the log is counted at the next start.
    ledger.execute(
        "UPDATE rollup_backfill SET next_rid = (SELECT min(rid) FROM request_logs), "
        "below_rid = (SELECT max(rid) + 1 FROM request_logs)"
    )
    ledger.close()


def count(steward, directory, path):
    environment = os.environ | {"STEWARD_ADMIN_PASSWORD": "bench-password", "STEWARD__LOG__FILTER": "warn"}
    command = [steward, "serve", "--data-dir", directory, "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, env=environment) as process:
        try:
            reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
            while reader.execute("SELECT 1 FROM rollup_backfill WHERE next_rid < below_rid").fetchone():
                if process.poll() is not None:
                    raise SystemExit(f"steward ended with {process.returncode}")
                time.sleep(1)
        finally:
            process.terminate()


def main():
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    steward, directory = sys.argv[1:3]
    rows = int(sys.argv[3]) if len(sys.argv) > 3 else 10_000_000
    if os.path.exists(directory):
        raise SystemExit(f"{directory} exists; nothing is written into it")
    os.makedirs(directory)
    subprocess.run([steward, "migrate", "--data-dir", directory], check=True)
    path = os.path.join(directory, "ledger.db")
    fill(path, rows)
    print("Counting the rollups ...", flush=True)
    count(steward, directory, path)


main()
