insert into t select id + 10, m from t;
