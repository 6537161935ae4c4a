update one set v = 'after' where id = 3;
