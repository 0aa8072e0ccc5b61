CREATE TABLE public.transfer (payer int REFERENCES public.account, payee int REFERENCES public.account);
