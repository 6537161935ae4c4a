INSERT INTO scalar SELECT id + 100, b, i2, i4, i8, f4, f8, n, n0, nv, t, v, c, u, j, jb, ba, d, tm, tm3, ts, ts0, ts3, tz, tz0, tz3 FROM scalar;
UPDATE scalar SET n = n + 1, t = t || '!' WHERE id < 100;
DELETE FROM scalar WHERE id IN (1, 3);
INSERT INTO with_defaults DEFAULT VALUES;
UPDATE with_defaults SET b = NULL, t = NULL, i8 = NULL;
DELETE FROM with_defaults WHERE id = 1;
