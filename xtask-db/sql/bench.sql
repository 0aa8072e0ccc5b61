
select count(*), sum(i) from generate_series(1,3000000) i;

create table b1(id int, v text, n numeric);

insert into b1 select i, md5(i::text), i*1.5 from generate_series(1,300000) i;

create index b1_id on b1(id);

create index b1_v on b1(v);

select count(*) from b1 where v like '%abc%';

select sum(n), avg(n), max(v) from b1;

select v, count(*) from b1 group by substr(v,1,3), v order by 2 desc, 1 limit 3;

select count(*) from b1 a join b1 b on a.id = b.id;

update b1 set n = n + 1;

do $$ declare s bigint := 0; begin for i in 1..3000000 loop s := s + i; end loop; end $$;

do $$ declare x int; begin for i in 1..100000 loop select id into x from b1 where id = i; end loop; end $$;

select sum(exp(i::float8/1e6)*ln(i)) from generate_series(1,1000000) i;

select count(*) from (select * from b1 order by n desc, v) s;

do $$ begin for i in 1..20000 loop begin perform 1/0; exception when division_by_zero then null; end; end loop; end $$;

drop table b1;
