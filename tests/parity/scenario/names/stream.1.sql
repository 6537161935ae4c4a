INSERT INTO "My-Schema"."Tab.le 1" VALUES (2,'a','b','c','d','e','f'); UPDATE "My-Schema"."Tab.le 1" SET id = 3 WHERE id = 2; DELETE FROM "My-Schema"."Tab.le 1" WHERE id = 3;
INSERT INTO "ünïcode" VALUES (2, 'y'); DELETE FROM "ünïcode" WHERE "schlüssel" = 1;
