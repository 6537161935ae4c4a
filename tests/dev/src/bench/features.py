"""Holds the agent's features at every row against DuckDB's window SQL. Argument: the CSV of the bench.

Sums, counts and maxima must be equal; averages to 1e-12 of themselves, because DuckDB divides doubles
where PostgreSQL (and the agent) divide decimals.
"""

import sys

import duckdb

COLUMNS = {
    "user_id": "VARCHAR", "amount": "DECIMAL(12,2)", "merchant_id": "INTEGER", "status": "VARCHAR",
    "currency": "VARCHAR", "created_us": "BIGINT", "confidence": "DOUBLE", "count_10m": "BIGINT",
    "sum_10m": "DOUBLE", "avg_10m": "DOUBLE", "max_1h": "DOUBLE", "merchants_1h": "BIGINT",
}
# The agent's windows are open at the old end.
SQL = """
WITH fact AS (SELECT * FROM read_csv(?, header = false, nullstr = '', columns = ?)),
found AS (SELECT *,
  count(*) OVER m AS n, sum(amount) OVER m AS total, avg(amount) OVER m AS mean, max(amount) OVER h AS top,
  count(DISTINCT merchant_id) OVER h AS merchants
  FROM fact WINDOW
    m AS (PARTITION BY user_id ORDER BY created_us RANGE BETWEEN 599999999 PRECEDING AND CURRENT ROW),
    h AS (PARTITION BY user_id ORDER BY created_us RANGE BETWEEN 3599999999 PRECEDING AND CURRENT ROW))
SELECT count(*), count(*) FILTER (WHERE n IS DISTINCT FROM count_10m OR total::DOUBLE IS DISTINCT FROM sum_10m
  OR abs(mean - avg_10m) > 1e-12 * abs(mean) OR top::DOUBLE IS DISTINCT FROM max_1h
  OR merchants IS DISTINCT FROM merchants_1h), max(n), max(merchants)
FROM found
"""

rows, wrong, most, merchants = duckdb.execute(SQL, [sys.argv[1], COLUMNS]).fetchone()
print(f"{rows} rows held against DuckDB {duckdb.__version__}: {wrong} differ (up to {most} rows and {merchants} merchants in a window)")
sys.exit(1 if wrong or not rows else 0)
