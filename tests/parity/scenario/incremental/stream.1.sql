insert into debezium_signal values ('sig-1', 'execute-snapshot', '{"data-collections": ["public.one", "public.none", "public.huge"]}');
