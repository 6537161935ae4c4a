INSERT INTO outbox VALUES ('00000000-0000-0000-0000-000000000001', 'order', 7, 'Created', '{"id": 1, "total": 12.5, "big": 5000000000, "lines": [{"sku": "a", "n": 1}, {"sku": "b"}], "tags": ["x"], "none": null, "empty": [], "in": {"deep": true}}', '2024-01-01 00:00:00', 'acme', 1);
INSERT INTO outbox VALUES ('00000000-0000-0000-0000-000000000002', 'invoice', 8, 'Created', '{"id": 2, "total": 1.5, "big": 5000000001, "lines": [{"sku": "c", "n": 2}], "tags": ["y", "z"], "none": null, "empty": [], "in": {"deep": false}}', NULL, NULL, 2);
INSERT INTO outbox VALUES ('00000000-0000-0000-0000-000000000003', 'customer', NULL, 'Gone', NULL, '2024-01-01 00:00:01', 'x', 0);
DELETE FROM outbox;
