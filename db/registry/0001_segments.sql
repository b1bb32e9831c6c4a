CREATE TABLE `image_layers` (
	`diff_id` text PRIMARY KEY NOT NULL,
	`index` text NOT NULL,
	`used_at` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `image_tags` (
	`image` text NOT NULL,
	`tag` text NOT NULL,
	`number` integer NOT NULL,
	`revision` integer NOT NULL,
	PRIMARY KEY(`image`, `tag`),
	FOREIGN KEY (`image`) REFERENCES `images`(`name`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE TABLE `rollouts` (
	`id` integer PRIMARY KEY NOT NULL,
	`image` text NOT NULL,
	`number` integer NOT NULL,
	`state` text NOT NULL,
	`plan` text NOT NULL,
	`author` text NOT NULL,
	`revision` integer NOT NULL,
	`created_at` integer NOT NULL,
	`changed_at` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `root_archives` (
	`image` text PRIMARY KEY NOT NULL,
	`root` text NOT NULL
);
--> statement-breakpoint
-- Versions of before were root archives, not segments. They are imported again; their images and numbers stay.
UPDATE `images` SET `current` = NULL;--> statement-breakpoint
DROP TABLE `image_versions`;--> statement-breakpoint
CREATE TABLE `image_versions` (
	`image` text NOT NULL,
	`number` integer NOT NULL,
	`digest` text NOT NULL,
	`summary` text NOT NULL,
	`source` text NOT NULL,
	`provenance` text NOT NULL,
	`message` text NOT NULL,
	`author` text NOT NULL,
	`revision` integer NOT NULL,
	`created_at` integer NOT NULL,
	PRIMARY KEY(`image`, `number`),
	FOREIGN KEY (`image`) REFERENCES `images`(`name`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `image_versions_digest` ON `image_versions` (`digest`);
