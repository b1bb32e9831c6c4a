CREATE TABLE `secrets` (
	`owner` text NOT NULL,
	`name` text NOT NULL,
	`generated` integer NOT NULL,
	`sealed` text NOT NULL,
	`key` text NOT NULL,
	`public` text,
	`revision` integer NOT NULL,
	`changed_at` integer NOT NULL,
	PRIMARY KEY(`owner`, `name`, `generated`)
);
--> statement-breakpoint
ALTER TABLE `overlay_versions` ADD `git` text;