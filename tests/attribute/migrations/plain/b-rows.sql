INSERT INTO note VALUES ('from a file');
