INSERT INTO evolving VALUES (2, 'two', 2);
