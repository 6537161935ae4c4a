CREATE SCHEMA "My-Schema";
CREATE TABLE "My-Schema"."Tab.le 1" (id int PRIMARY KEY, "col-umn" text, "1st" text, "Grüße" text, "a.b" text, "UPPER" text, "_ok" text);
CREATE TABLE "ünïcode" ("schlüssel" int PRIMARY KEY, v text);
INSERT INTO "My-Schema"."Tab.le 1" VALUES (1,'a','b','c','d','e','f'); INSERT INTO "ünïcode" VALUES (1, 'x');
