create extension postgis; create domain geo as geometry(Point,4326);
create table g (id int primary key, g geometry, gp geometry(Point,4326), gl geometry(LineStringZ), y geography, yp geography(Point) not null default 'POINT(1 2)', p point not null default '(1,2)', ga geometry[], d geo, bx box2d, r text);
insert into g values (1,'POINT(1 2)','SRID=4326;POINT(3 4)','LINESTRING Z (0 0 1, 1 1 2)','SRID=4326;POLYGON((0 0,1 0,1 1,0 0))','POINT(5 6)','(1.5,-2)',array['POINT(1 2)'::geometry],'SRID=4326;POINT(7 8)','BOX(0 0,1 1)');
insert into g(id) values (2);