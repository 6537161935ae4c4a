CREATE EXTENSION hstore;
CREATE TABLE dflt (id int PRIMARY KEY, n int, t text, nn text NOT NULL, by bytea, js jsonb, ar text[], ia int[], ua uuid[], hs hstore, num numeric, x xml);
CREATE TABLE ful (LIKE dflt INCLUDING ALL); ALTER TABLE ful REPLICA IDENTITY FULL;
CREATE FUNCTION big(k int) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(md5((k * 100000 + g)::text), '') FROM generate_series(1, 200) g $$;
DO $$ DECLARE c text; r text; BEGIN FOREACH r IN ARRAY ARRAY['dflt','ful'] LOOP FOREACH c IN ARRAY ARRAY['t','nn','by','js','ar','ia','ua','hs','x'] LOOP EXECUTE format('ALTER TABLE %I ALTER COLUMN %I SET STORAGE EXTERNAL', r, c); END LOOP; END LOOP; EXCEPTION WHEN OTHERS THEN RAISE; END $$;
