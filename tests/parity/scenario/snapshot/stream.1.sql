INSERT INTO inventory.a VALUES (10000, 'streamed');
UPDATE inventory.a SET v = 'A1' WHERE id = 1;
INSERT INTO inventory.c_empty VALUES (1, 'c');
DELETE FROM inventory.b WHERE id = 1;
