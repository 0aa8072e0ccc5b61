-- no-transaction
CREATE INDEX CONCURRENTLY transfer_payer ON public.transfer (payer);
CREATE INDEX CONCURRENTLY transfer_payee ON public.transfer (payee); -- the second; of two
