create table debezium_signal (id varchar(42) primary key, type varchar(32) not null, data varchar(2048));
create table one (id int primary key, v text);
create table two (a int, b text, v numeric(9, 2), primary key (a, b));
create table none (id bigint primary key, v text);
create table huge (id uuid primary key, v bytea);
insert into one select g, 'v' || g from generate_series(1, 8) g;
insert into two select g / 2, 'b' || g, g / 4.0 from generate_series(1, 5) g;
insert into huge values ('7d2ad1a5-4c62-4b50-9ed0-d9c0f2c2b1a1', decode(repeat('ab', 4000), 'hex')),
    ('0d2ad1a5-4c62-4b50-9ed0-d9c0f2c2b1a1', null);
