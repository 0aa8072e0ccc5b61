create extension if not exists pg_trgm;

create extension if not exists hstore;

create extension if not exists btree_gist;

drop table if exists e1;

create table e1 as select i, md5(i::text) as v, hstore(ARRAY['a', i::text, 'b', md5(i::text), 'c', (i % 100)::text]) as h from generate_series(1,100000) i;

select count(*) from e1 where similarity(v, 'abcdef0123') > 0.1;

create index e1_trgm on e1 using gin (v gin_trgm_ops);

select count(*) from e1 where v like '%abcd%';

select sum((h -> 'c')::int), count(*) filter (where h ? 'a') from e1;

select count(*) from e1 where h @> 'c=>42';

create index e1_h on e1 using gin (h);

select sum(length((h || 'd=>x'::hstore)::text)) from e1;

create index e1_gist on e1 using gist (i);

set enable_seqscan = off;

select sum(n) from (select (select count(*) from e1 where e1.i between g * 10 and g * 10 + 50) as n from generate_series(1, 2000) g) t;

select count(*) from (select i from e1 order by i <-> 50000 limit 5000) t;

do $$ declare s bigint := 0; begin for i in 1..3000000 loop s := s + i; end loop; end $$;

do $$ begin for i in 1..100000 loop begin if i % 2 = 0 then perform 1/0; end if; exception when others then null; end; end loop; end $$;

reset enable_seqscan;
