"""Holds the agent's features at every row against DuckDB's window SQL. Argument: the CSV of the bench.

Sums, counts and maxima must be equal; averages to 1e-12 of themselves, because DuckDB divides doubles
where PostgreSQL (and the agent) divide decimals. Then the same job once more, alone, for its cost.
The answer is one line of JSON.
"""

import json
import sys
import time

import duckdb

COLUMNS = {
    "user_id": "VARCHAR", "amount": "DECIMAL(12,2)", "merchant_id": "INTEGER", "status": "VARCHAR",
    "currency": "VARCHAR", "created_us": "BIGINT", "confidence": "DOUBLE", "count_10m": "BIGINT",
    "sum_10m": "DOUBLE", "avg_10m": "DOUBLE", "max_1h": "DOUBLE", "merchants_1h": "BIGINT",
}
# The agent's windows are open at the old end. Every row of the file passes the conditions: they are there
# for their cost.
FOUND = """
WITH fact AS (SELECT * FROM read_csv(?, header = false, nullstr = '', columns = ?)
  WHERE amount BETWEEN 0 AND 1000000 AND status IN ('settled', 'pending', 'reversed')
  AND regexp_full_match(currency, '[A-Z]{3}') AND confidence IS NOT NULL AND user_id IS NOT NULL),
found AS (SELECT *,
  count(*) OVER m AS n, sum(amount) OVER m AS total, avg(amount) OVER m AS mean, max(amount) OVER h AS top,
  count(DISTINCT merchant_id) OVER h AS merchants
  FROM fact WINDOW
    m AS (PARTITION BY user_id ORDER BY created_us RANGE BETWEEN 599999999 PRECEDING AND CURRENT ROW),
    h AS (PARTITION BY user_id ORDER BY created_us RANGE BETWEEN 3599999999 PRECEDING AND CURRENT ROW))
"""
DIFFER = FOUND + """
SELECT count(*), count(*) FILTER (WHERE n IS DISTINCT FROM count_10m OR total::DOUBLE IS DISTINCT FROM sum_10m
  OR abs(mean - avg_10m) > 1e-12 * abs(mean) OR top::DOUBLE IS DISTINCT FROM max_1h
  OR merchants IS DISTINCT FROM merchants_1h), max(n), max(merchants)
FROM found
"""
JOB = FOUND + "SELECT count(*), sum(n), sum(total), sum(mean), sum(top), sum(merchants) FROM found"

one_thread = duckdb.connect(config={"threads": 1})
rows, differ, most, merchants = one_thread.execute(DIFFER, [sys.argv[1], COLUMNS]).fetchone()
before = time.process_time()
one_thread.execute(JOB, [sys.argv[1], COLUMNS]).fetchone()
cost = time.process_time() - before
print(json.dumps({
    "rows": rows, "differ": differ if rows else 1, "rows_in_window": most, "merchants_in_window": merchants,
    "version": duckdb.__version__, "cpu_seconds_per_million": cost * 1e6 / max(rows, 1),
}))
