CREATE TABLE scalar (
  id bigint PRIMARY KEY, b boolean, i2 smallint, i4 integer NOT NULL, i8 bigint, f4 real, f8 double precision,
  n numeric(12,2), n0 numeric(6), nv numeric, t text, v varchar(20), c char(5), u uuid, j json, jb jsonb, ba bytea,
  d date, tm time, tm3 time(3), ts timestamp, ts0 timestamp(0), ts3 timestamp(3), tz timestamptz, tz0 timestamptz(0), tz3 timestamptz(3)
);
ALTER TABLE scalar REPLICA IDENTITY FULL;
INSERT INTO scalar VALUES
  (1, true, -32768, -2147483648, -9223372036854775808, 1.5, 0.1, 123.45, 7, 123.4500, 'text', 'varchar', 'ab', '6f1e4c1e-1111-4222-8333-444455556666',
   '{"a": 1, "b": [true, null]}', '{"b": 2, "a": "x"}', '\x00ff10', '2020-02-29', '23:59:59.999999', '01:02:03.004', '2001-02-03 04:05:06.789012',
   '2001-02-03 04:05:06', '2001-02-03 04:05:06.789', '2001-02-03 04:05:06.789012+02', '2001-02-03 04:05:06+00', '2001-02-03 04:05:06.1-08'),
  (2, false, 32767, 2147483647, 9223372036854775807, -3.4028235e38, 1.7976931348623157e308, -9999999999.99, -999999, -0.000000000000000000000000000000123,
   '', 'ünïcödé ☃', '', '00000000-0000-0000-0000-000000000000', 'null', '{}', '', '0001-01-01', '00:00:00', '24:00:00', '1969-12-31 23:59:59.999999',
   '1970-01-01', '9999-12-31 23:59:59.999', '1970-01-01+00', '1900-01-01+00', '9999-12-31 23:59:59.999+00'),
  (3, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (4, true, 0, 1, 0, 'NaN', 'Infinity', 0, 0, 123456789012345678901234567890123456789012345678901234567890.5, E'line\nbreak\ttab\\slash', 'x', 'y',
   NULL, '1', '"s"', '\xdeadbeef', '2262-04-12', '12:00', '12:00', '2038-01-19 03:14:08', '2038-01-19 03:14:08', '2038-01-19 03:14:08', '2038-01-19 03:14:08+05:30', now(), now());
CREATE TABLE with_defaults (
  id serial PRIMARY KEY, b boolean DEFAULT true, i4 integer NOT NULL DEFAULT 42, i8 bigint DEFAULT -1, f8 double precision DEFAULT 2.5,
  n numeric(8,3) NOT NULL DEFAULT 1.5, t text DEFAULT 'a''b', v varchar(10) NOT NULL DEFAULT 'x', u uuid DEFAULT gen_random_uuid(),
  d date DEFAULT '2020-01-02', ts timestamp DEFAULT '2020-01-02 03:04:05', tz timestamptz NOT NULL DEFAULT now(), j jsonb DEFAULT '{"k": 1}'
);
INSERT INTO with_defaults DEFAULT VALUES;
INSERT INTO with_defaults (b, t, i8, f8, u, d, ts, j) VALUES (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
