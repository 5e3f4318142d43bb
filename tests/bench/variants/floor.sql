-- title: floor: one constant for all
-- result: any
UPDATE customers SET company_id = 1;
