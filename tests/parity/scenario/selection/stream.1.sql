INSERT INTO inv.people VALUES (2, NULL, NULL, NULL, NULL, NULL, NULL, '', NULL), (3, 'Bob 🎉', 'b@x', '5', '', '', 'short', '12345678901', 3);
UPDATE inv.people SET name = 'Anna', email = 'anna@example.com' WHERE id = 1; UPDATE inv.people SET secret = 'changed' WHERE id = 1;
UPDATE inv.people SET email = 'new@x' WHERE id = 3; DELETE FROM inv.people WHERE id = 2;
INSERT INTO inv.keyless VALUES (2, 'bb', 'cc'); UPDATE inv.keyless SET c = 'dd' WHERE a = 2; UPDATE inv.keyless SET b = 'key' WHERE a = 2; DELETE FROM inv.keyless WHERE a = 1;
INSERT INTO inv.excluded VALUES (1); INSERT INTO other.nobody VALUES (1);
INSERT INTO inv."Mixed Case" VALUES (2, 'Z', 'k'); UPDATE inv."Mixed Case" SET keep = 'l';
