-- What is bought leaves the shelf.
CREATE FUNCTION take_from_stock() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE product SET stock = stock - NEW.quantity WHERE id = NEW.product;
    RETURN NEW;
END $$;

CREATE TRIGGER take_from_stock AFTER INSERT ON purchase
    FOR EACH ROW EXECUTE FUNCTION take_from_stock();
