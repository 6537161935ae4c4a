CREATE TABLE outbox (id uuid PRIMARY KEY, aggregatetype varchar(255) NOT NULL, aggregateid bigint, type varchar(255), payload jsonb, at timestamp, tenant text, part int NOT NULL DEFAULT 0);
