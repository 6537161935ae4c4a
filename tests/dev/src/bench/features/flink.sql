CREATE TABLE payments (
  user_id STRING, amount DECIMAL(12,2), merchant_id INT, status STRING, currency STRING, created_us BIGINT,
  confidence DOUBLE, count_10m BIGINT, sum_10m DOUBLE, avg_10m DOUBLE, max_1h DOUBLE, merchants_1h BIGINT,
  created_at AS TO_TIMESTAMP_LTZ(created_us / 1000, 3),
  WATERMARK FOR created_at AS created_at
) WITH ('connector' = 'filesystem', 'path' = '${csv}', 'format' = 'csv', 'csv.null-literal' = '');

CREATE TABLE found (same BOOLEAN) WITH ('connector' = 'filesystem', 'path' = '${out}', 'format' = 'csv');

INSERT INTO found
SELECT n = count_10m AND CAST(total AS DOUBLE) = sum_10m AND CAST(top AS DOUBLE) = max_1h AND merchants = merchants_1h
  AND ABS(CAST(total AS DOUBLE) / n - avg_10m) <= 1e-12 * ABS(avg_10m)
FROM (
  SELECT *, MAX(amount) OVER h AS top, COUNT(DISTINCT merchant_id) OVER h AS merchants
  FROM (
    SELECT *, COUNT(*) OVER m AS n, SUM(amount) OVER m AS total
    FROM payments
    WHERE amount BETWEEN 0 AND 1000000 AND status IN ('settled', 'pending', 'reversed')
      AND REGEXP(currency, '^[A-Z]{3}$') AND confidence IS NOT NULL AND user_id IS NOT NULL
    WINDOW m AS (PARTITION BY user_id ORDER BY created_at
      RANGE BETWEEN INTERVAL '0 00:09:59.999' DAY TO SECOND(3) PRECEDING AND CURRENT ROW)
  )
  WINDOW h AS (PARTITION BY user_id ORDER BY created_at
    RANGE BETWEEN INTERVAL '0 00:59:59.999' DAY TO SECOND(3) PRECEDING AND CURRENT ROW)
);
