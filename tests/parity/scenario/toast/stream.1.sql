INSERT INTO dflt SELECT 1, 1, big(1), big(2), decode(big(3), 'hex'), to_jsonb(big(4)), ARRAY[big(5)], (SELECT array_agg(g) FROM generate_series(1, 3000) g), (SELECT array_agg(md5(g::text)::uuid) FROM generate_series(1, 200) g), hstore('k', big(6)), (repeat('123456789', 600))::numeric, ('<a>' || big(7) || '</a>')::xml;
INSERT INTO ful SELECT * FROM dflt;
UPDATE dflt SET n = 2; UPDATE ful SET n = 2; UPDATE dflt SET t = 'now short'; UPDATE ful SET t = 'now short'; UPDATE dflt SET id = 2; UPDATE ful SET id = 2; DELETE FROM dflt; DELETE FROM ful;
