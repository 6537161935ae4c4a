CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE EXTENSION ltree; CREATE EXTENSION "uuid-ossp";
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy day');
CREATE DOMAIN positive AS int CHECK (VALUE > 0); CREATE DOMAIN small_positive AS positive CHECK (VALUE < 1000);
CREATE DOMAIN price AS numeric(10,3); CREATE DOMAIN label AS varchar(30); CREATE DOMAIN moods AS mood[];
CREATE TYPE pair AS (a int, b text);
CREATE TYPE floatrange AS RANGE (subtype = float8);
CREATE TABLE many (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, twice int GENERATED ALWAYS AS (1 + 1) STORED,
  b boolean, i2 smallint, i4 integer, i8 bigint, f4 real, f8 double precision, n numeric, n10_3 numeric(10,3), n5 numeric(5), n3_m2 numeric(3,-2), n2_4 numeric(2,4),
  m money, c1 char, c9 char(9), v varchar, v30 varchar(30), t text, ct citext, ic "char", nm uuid, by bytea,
  d date, tm time, tm0 time(0), tm3 time(3), tm6 time(6), ttz timetz, ttz3 timetz(3),
  ts timestamp, ts0 timestamp(0), ts1 timestamp(1), ts3 timestamp(3), ts4 timestamp(4), ts6 timestamp(6), tz timestamptz, tz0 timestamptz(0), tz3 timestamptz(3),
  iv interval, ivd interval day to second, js json, jb jsonb, xm xml, inet inet, cidr cidr, mac macaddr, mac8 macaddr8,
  bi bit, bi5 bit(5), bi70 bit(70), vb varbit, vb8 varbit(8), en mood, hs hstore, pt point, lt ltree, o oid, tv tsvector,
  r4 int4range, r8 int8range, rn numrange, rts tsrange, rtz tstzrange, rd daterange, pos positive, spos small_positive, pr price, lab label);
ALTER TABLE many REPLICA IDENTITY FULL;
CREATE TABLE arrays (
  id int PRIMARY KEY, b boolean[], i2 smallint[], i4 int[], i8 bigint[], f4 real[], f8 float8[], n numeric[], n6_2 numeric(6,2)[], c char(3)[], v varchar(9)[], t text[], ct citext[],
  by bytea[], d date[], tm time[], ttz timetz[], ts timestamp[], ts3 timestamp(3)[], tz timestamptz[], u uuid[], js json[], jb jsonb[], ip inet[], ci cidr[], ma macaddr[],
  en mood[], o oid[], r4 int4range[], rts tsrange[], iv interval[], bi bit(3)[], xm xml[], pt point[], mo money[], two int[][], nn text[] NOT NULL);
CREATE TABLE unknown (id int PRIMARY KEY, pa pair, ln line, bx box, cr circle, pg polygon, ph path, ls lseg, tq tsquery, pl pg_lsn, tx txid_snapshot, fr floatrange, mr int4multirange, ps pair[], dm moods, rc regclass);
CREATE TABLE defaults (
  id serial PRIMARY KEY, b boolean DEFAULT false, i2 smallint DEFAULT -7, i4 int NOT NULL DEFAULT 1 + 2, i8 bigint NOT NULL DEFAULT 9007199254740993, f4 real DEFAULT 1.5, f8 float8 DEFAULT '-2.25',
  n numeric DEFAULT 3.14, n9_4 numeric(9,4) NOT NULL DEFAULT 123.4567, m money DEFAULT 12.34, c char(3) DEFAULT 'ab', v varchar(9) DEFAULT 'it''s', t text DEFAULT E'a\\b "c"', tn text DEFAULT NULL, te text NOT NULL DEFAULT '',
  by bytea DEFAULT '\x00ff', d date DEFAULT '2020-02-29', dn date NOT NULL DEFAULT current_date, tm time DEFAULT '12:34:56.789', tm3 time(3) NOT NULL DEFAULT '01:02:03', ttz timetz DEFAULT '12:34:56+02',
  ts timestamp DEFAULT '2020-01-02 03:04:05.678901', ts3 timestamp(3) NOT NULL DEFAULT '2020-01-02 03:04:05.678', tz timestamptz NOT NULL DEFAULT '2020-01-02 03:04:05.678901+00', now timestamptz DEFAULT now(), nowts timestamp NOT NULL DEFAULT localtimestamp,
  iv interval NOT NULL DEFAULT '1 day 02:03:04', u uuid DEFAULT '00000000-0000-0000-0000-0000000000aa', uf uuid NOT NULL DEFAULT gen_random_uuid(), js json DEFAULT '{"a": 1}', jb jsonb NOT NULL DEFAULT '[1, 2]',
  ip inet DEFAULT '10.0.0.1', bi bit DEFAULT B'1', bi5 bit(5) NOT NULL DEFAULT B'10101', en mood NOT NULL DEFAULT 'ok', hs hstore DEFAULT 'k=>v', ar int[] DEFAULT '{1,2}', ct citext DEFAULT 'Ci', pos positive DEFAULT 5, dp price NOT NULL DEFAULT 1.5, up text DEFAULT upper('x'), casted text DEFAULT 5::text);
COMMENT ON TABLE defaults IS 'a table of defaults'; COMMENT ON COLUMN defaults.i4 IS 'three "quoted"'; COMMENT ON COLUMN many.t IS 'free text';
