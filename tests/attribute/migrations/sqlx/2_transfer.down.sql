DROP TABLE public.transfer;
